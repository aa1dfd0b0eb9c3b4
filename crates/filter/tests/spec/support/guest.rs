//! A guest of a few host calls, written as a test needs it.

use std::fmt::Write as _;

/// A text in the guest's memory: where it lies and how long it is.
#[derive(Clone, Copy)]
pub(crate) struct Text(pub(crate) u32, pub(crate) u32);

/// Where host calls put what they give: two words.
pub(crate) const OUT: u32 = 64;

/// A module in the making. It has a memory of two pages and an allocator that only goes forward.
pub(crate) struct Guest {
    marker: String,
    data: Vec<(u32, Vec<u8>)>,
    next: u32,
    imports: Vec<String>,
    functions: Vec<String>,
    allocator: String,
}

/// The host calls that guests make, with the types of their arguments: `i` is 32 bits, `I` is 64.
fn arguments(name: &str) -> &'static str {
    match name {
        "proxy_done"
        | "proxy_continue_request"
        | "proxy_continue_response"
        | "proxy_clear_route_cache" => "",
        "proxy_set_effective_context"
        | "proxy_get_log_level"
        | "proxy_get_current_time_nanoseconds"
        | "proxy_set_tick_period_milliseconds"
        | "proxy_continue_stream"
        | "proxy_close_stream"
        | "proxy_grpc_cancel"
        | "proxy_grpc_close" => "i",
        "proxy_get_header_map_size" | "proxy_get_metric" | "proxy_get_configuration" => "ii",
        "proxy_record_metric" | "proxy_increment_metric" => "iI",
        "proxy_log"
        | "proxy_get_buffer_status"
        | "proxy_get_header_map_pairs"
        | "proxy_set_header_map_pairs"
        | "proxy_remove_header_map_value"
        | "proxy_get_status"
        | "proxy_register_shared_queue"
        | "proxy_enqueue_shared_queue"
        | "proxy_dequeue_shared_queue" => "iii",
        "proxy_grpc_send" | "proxy_define_metric" | "proxy_get_property" | "proxy_set_property" => {
            "iiii"
        }
        "proxy_set_buffer_bytes"
        | "proxy_get_buffer_bytes"
        | "proxy_get_header_map_value"
        | "proxy_add_header_map_value"
        | "proxy_replace_header_map_value"
        | "proxy_set_shared_data"
        | "proxy_get_shared_data"
        | "proxy_resolve_shared_queue" => "iiiii",
        "proxy_call_foreign_function" => "iiiiii",
        "proxy_send_local_response" => "iiiiiiii",
        "proxy_grpc_stream" => "iiiiiiiii",
        "proxy_http_call" => "iiiiiiiiii",
        "proxy_grpc_call" => "iiiiiiiiiiii",
        other => panic!("what does `{other}` take?"),
    }
}

impl Guest {
    /// A guest of ABI 0.2.1.
    pub(crate) fn new() -> Self {
        Self::of("proxy_abi_version_0_2_1")
    }

    /// A guest with this marker.
    pub(crate) fn of(marker: &str) -> Self {
        let allocator = "
            (func $malloc (export \"malloc\") (param i32) (result i32)
                (local $block i32)
                (local.set $block (global.get $top))
                (global.set $top (i32.add (global.get $top) (local.get 0)))
                (local.get $block))";
        let mut guest = Self {
            marker: marker.to_owned(),
            data: Vec::new(),
            next: 1024,
            imports: Vec::new(),
            functions: Vec::new(),
            allocator: allocator.to_owned(),
        };
        guest.import("proxy_log");
        guest
    }

    /// Another allocator, in WAT.
    pub(crate) fn allocator(&mut self, wat: &str) -> &mut Self {
        wat.clone_into(&mut self.allocator);
        self
    }

    /// Puts a text into its memory.
    pub(crate) fn text(&mut self, text: impl AsRef<[u8]>) -> Text {
        let (bytes, at) = (text.as_ref().to_vec(), self.next);
        let size = u32::try_from(bytes.len()).unwrap();
        self.next += (size + 8) & !7;
        self.data.push((at, bytes));
        Text(at, size)
    }

    /// Imports a host call under its name.
    fn import(&mut self, name: &str) {
        let types: String = arguments(name)
            .chars()
            .map(|letter| if letter == 'I' { " i64" } else { " i32" })
            .collect();
        let line =
            format!("(import \"env\" \"{name}\" (func ${name} (param{types}) (result i32)))");
        self.raw_import(&line);
    }

    /// Imports something as it is written.
    pub(crate) fn raw_import(&mut self, line: &str) -> &mut Self {
        if !self.imports.iter().any(|known| known == line) {
            self.imports.push(line.to_owned());
        }
        self
    }

    /// Adds a function as it is written.
    pub(crate) fn raw(&mut self, function: &str) -> &mut Self {
        self.functions.push(function.to_owned());
        self
    }

    /// Exports a callback with so many arguments that does `body` and answers with a number, if it
    /// answers.
    pub(crate) fn on(
        &mut self,
        name: &str,
        arguments: usize,
        answer: Option<u32>,
        body: impl FnOnce(&mut Body<'_>),
    ) -> &mut Self {
        let mut code = Body { guest: self, code: String::new() };
        body(&mut code);
        let code = code.code;
        let parameters = " i32".repeat(arguments);
        let (result, answer) = match answer {
            Some(answer) => ("(result i32)", format!("(i32.const {})", answer.cast_signed())),
            None => ("", String::new()),
        };
        self.functions.push(format!(
            "(func (export \"{name}\") (param{parameters}) {result} {code} {answer})"
        ));
        self
    }

    /// What most tests need: something that is done on each request's head.
    pub(crate) fn on_request(&mut self, body: impl FnOnce(&mut Body<'_>)) -> &mut Self {
        self.on("proxy_on_request_headers", 3, Some(0), body)
    }

    /// The module.
    pub(crate) fn code(&self) -> Vec<u8> {
        let mut wat = String::from("(module\n");
        let mut line = |text: &str| writeln!(wat, "{text}").unwrap();
        self.imports.iter().for_each(|import| line(import));
        line("(memory (export \"memory\") 2)");
        line("(global $top (mut i32) (i32.const 65536))");
        line(&format!("(func (export \"{}\"))", self.marker));
        line(&self.allocator);
        for (at, bytes) in &self.data {
            let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            line(&format!("(data (i32.const {at}) \"{escaped}\")"));
        }
        self.functions.iter().for_each(|function| line(function));
        line(")");
        wat::parse_str(&wat).unwrap_or_else(|error| panic!("{error}\n{wat}"))
    }
}

/// What a callback does.
pub(crate) struct Body<'a> {
    guest: &'a mut Guest,
    code: String,
}

impl Body<'_> {
    fn push(&mut self, code: &str) -> &mut Self {
        self.code.push_str(code);
        self.code.push('\n');
        self
    }

    /// Makes a host call and shows what it answers.
    pub(crate) fn call(&mut self, name: &str, with: &[u32]) -> &mut Self {
        let expression = self.expression(name, with);
        self.show_number(&expression)
    }

    /// Makes a host call and shows nothing.
    pub(crate) fn quietly(&mut self, name: &str, with: &[u32]) -> &mut Self {
        let expression = self.expression(name, with);
        self.push(&format!("(drop {expression})"))
    }

    fn expression(&mut self, name: &str, with: &[u32]) -> String {
        self.guest.import(name);
        let types = arguments(name);
        assert_eq!(types.len(), with.len(), "{name}");
        let constants: String = types
            .chars()
            .zip(with)
            .map(|(letter, value)| match letter {
                'I' => format!(" (i64.const {})", i64::from(value.cast_signed())),
                _ => format!(" (i32.const {})", value.cast_signed()),
            })
            .collect();
        format!("(call ${name}{constants})")
    }

    /// Shows the number that a piece of WAT is.
    pub(crate) fn show_number(&mut self, expression: &str) -> &mut Self {
        self.push(&format!(
            "(i32.store (i32.const 32) {expression})
             (drop (call $proxy_log (i32.const 0) (i32.const 32) (i32.const 4)))"
        ))
    }

    /// Shows the word at a place.
    pub(crate) fn show_word(&mut self, at: u32) -> &mut Self {
        self.show_number(&format!("(i32.load (i32.const {at}))"))
    }

    /// Shows the bytes that a host call has given: where and how long is said at [`OUT`].
    pub(crate) fn show(&mut self) -> &mut Self {
        self.push(&format!(
            "(drop (call $proxy_log (i32.const 2)
                (i32.load (i32.const {OUT})) (i32.load (i32.const {}))))",
            OUT + 4
        ))
    }

    /// Shows a text of its own.
    pub(crate) fn say(&mut self, text: &str) -> &mut Self {
        let Text(at, size) = self.guest.text(text);
        self.push(&format!(
            "(drop (call $proxy_log (i32.const 2) (i32.const {at}) (i32.const {size})))"
        ))
    }

    /// Shows an argument of the callback.
    pub(crate) fn show_argument(&mut self, index: u32) -> &mut Self {
        self.show_number(&format!("(local.get {index})"))
    }

    /// A piece of WAT.
    pub(crate) fn wat(&mut self, code: &str) -> &mut Self {
        self.push(code)
    }

    pub(crate) fn text(&mut self, text: impl AsRef<[u8]>) -> Text {
        self.guest.text(text)
    }
}
