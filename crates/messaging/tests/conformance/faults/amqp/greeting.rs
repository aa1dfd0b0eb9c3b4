//! A server that says of itself what a test wants, and then nothing more.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Says what a server says until a connection is open.
pub(super) async fn greet(mut stream: TcpStream, product: &str, version: &str) {
    let frame = |method: u16, arguments: &[u8]| {
        let size = u32::try_from(arguments.len() + 4).unwrap();
        let mut frame = vec![1, 0, 0];
        frame.extend(size.to_be_bytes());
        frame.extend([0, 10]);
        frame.extend(method.to_be_bytes());
        frame.extend(arguments);
        frame.push(0xce);
        frame
    };
    let text =
        |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let field = |name: &str, value: &str| {
        [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), b"S", &text(value)].concat()
    };
    let fields = [field("product", product), field("version", version)].concat();
    let size = u32::try_from(fields.len()).unwrap().to_be_bytes();
    let start = [&[0, 9], &size[..], &fields, &text("PLAIN"), &text("en_US")].concat();
    let mut heard = Vec::new();
    for (until, said) in [
        (&b"AMQP"[..], frame(10, &start)),
        (&[0, 10, 0, 11], frame(30, &[0, 0, 0, 1, 0, 0, 0, 60])),
        (&[0, 10, 0, 40], frame(41, &[0])),
    ] {
        while !heard.windows(until.len()).any(|window| window == until) {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0, "it hung up");
        }
        stream.write_all(&said).await.unwrap();
    }
    std::future::pending::<()>().await;
}
