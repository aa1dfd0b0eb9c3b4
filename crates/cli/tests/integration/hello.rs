//! Guests of every language are served as they are, with nothing but their file.

use crate::support::client::{Connection, get, post};
use crate::support::{Folder, deploy, promises, serve};

promises!([a_file_alone_is_served, both_versions_of_http_are_spoken] of
    hello_p2, hello_p3, hello_c);
promises!([a_file_alone_is_served, both_versions_of_http_are_spoken, a_body_comes_back] of
    hello_python, hello_js);
promises!([a_file_alone_is_served] of imports_everything, imports_everything_p3);
promises!([the_smallest_example_does_what_its_readme_says] of hello);

/// What each guest says to whoever asks for `/x`.
fn hello(guest: &str) -> &'static str {
    match guest {
        "hello-c" => "Hello from C, you asked for /x",
        "hello-python" => "Hello from Python, you asked for /x",
        "hello-js" => "Hello from JavaScript, you asked for /x",
        _ => "Hello, world",
    }
}

fn a_file_alone_is_served(guest: &str) {
    let wharf = serve(guest);
    let first = wharf.program.errors().into_iter().find(|line| !line.starts_with("Compiling"));
    assert_eq!(first.unwrap(), format!("Serving HTTP on http://{}/", wharf.address));
    match guest {
        "imports-everything" | "imports-everything-p3" => everything_answers(&wharf.text("/")),
        _ => assert_eq!(wharf.text("/x"), hello(guest)),
    }
}

/// Programs of Go and other large runtimes import all of WASI. Nothing was granted.
fn everything_answers(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "environment: 0",
        "arguments: 1",
        "directory: None",
        "streams: 0 bytes of input",
        "terminals: false false false",
        "files: 0 folders",
        "clocks: true, after 2020: true",
        "random: 16 bytes",
        "sockets: tcp access-denied, udp access-denied, name access-denied",
    ];
    assert_eq!(lines, expected);
}

fn both_versions_of_http_are_spoken(guest: &str) {
    let wharf = serve(guest);
    let mut one = Connection::http1(wharf.address).unwrap();
    let mut two = Connection::http2(wharf.address).unwrap();
    for connection in [&mut one, &mut two] {
        for _ in 0..3 {
            let answer = connection.send(get("/x")).unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, hello(guest)));
        }
    }
}

fn a_body_comes_back(guest: &str) {
    let text = "ahoy ".repeat(5000);
    let wharf = serve(guest);
    let answer = Connection::http1(wharf.address).unwrap().send(post("/", text.clone())).unwrap();
    assert_eq!((answer.status, answer.text()), (200, text));
}

#[test]
fn what_the_command_line_grants_is_granted() {
    let folder = Folder::new();
    folder.guest("imports-everything");
    folder.write("shared/file", "");
    // `-S` is what people pass to other hosts; here everything is on anyway.
    let wharf = folder.serve(&[
        "-Scli",
        "-S",
        "http,inherit-network",
        "--env",
        "ONE=1",
        "--env=TWO=2",
        "--dir",
        "shared::/shared",
        "imports-everything.wasm",
    ]);
    let text = wharf.text("/");
    assert!(text.contains("environment: 2\n") && text.contains("files: 1 folders\n"), "{text}");
}

fn the_smallest_example_does_what_its_readme_says(guest: &str) {
    assert_eq!(serve(guest).text("/world"), "Hello from /world\n");
}

#[test]
fn either_compiler_will_do() {
    for (guest, engine) in [("hello-p2", "winch"), ("hello-c", "winch"), ("hello-p3", "cranelift")]
    {
        let wharf = deploy(&format!(
            r#"
                name = "compiled"
                [component.web]
                source = "{guest}.wasm"
                engine = "{engine}"
                [[http.route]]
                component = "web"
            "#
        ));
        assert_eq!(wharf.text("/x"), hello(guest), "{engine}");
    }
}
