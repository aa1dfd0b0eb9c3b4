//! One connection to memcached, on which one exchange comes after the other.

use super::fault::Fault;
use super::protocol::{self, LARGEST, LONGEST_LINE, Line, is_part_of_a_line};
use base::Secret;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

/// This much is set aside at once for an item; for a larger one more as it comes.
const AT_ONCE: u64 = 1 << 20;
/// A dump of more names than this is not taken.
const NAMES: usize = 1 << 20;

/// What carries the bytes: TCP, or TLS over it.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection. After a fault that is not harmless it is of no further use.
pub(super) struct Connection {
    wire: BufReader<Box<dyn Wire>>,
    /// The last line that came.
    line: Vec<u8>,
}

impl Connection {
    pub(super) fn over(wire: impl Wire + 'static) -> Self {
        Self { wire: BufReader::new(Box::new(wire)), line: Vec::new() }
    }

    /// Whether nothing came that nobody asked for, which the next call would take for its answer.
    pub(super) fn is_in_step(&self) -> bool {
        self.wire.buffer().is_empty()
    }

    /// Sends a command, and waits for the first line of the answer.
    async fn ask(&mut self, command: &[u8]) -> Result<Line<'_>, Fault> {
        self.wire.write_all(command).await?;
        self.wire.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Line<'_>, Fault> {
        self.line.clear();
        (&mut self.wire).take(LONGEST_LINE).read_until(b'\n', &mut self.line).await?;
        match self.line.strip_suffix(b"\n") {
            Some(line) => {
                Line::read(line.strip_suffix(b"\r").unwrap_or(line)).ok_or(Fault::Strange)
            }
            None if is_part_of_a_line(&self.line) => Err(Fault::hung_up()),
            None => Err(Fault::Strange),
        }
    }

    /// Says who the client is, to a server that asks for it.
    pub(super) async fn authenticate(
        &mut self,
        user: &str,
        password: &Secret,
    ) -> Result<(), Fault> {
        // A server that does not ask takes this for an item, and shows it to everybody.
        match self.ask(b"version\r\n").await? {
            Line::ClientError("unauthenticated") => {}
            Line::Version(_) => return Err(Fault::NoPassword),
            line => return Err(Fault::of(&line)),
        }
        match self.ask(&protocol::authenticate(user, password.reveal())).await? {
            Line::Stored => Ok(()),
            // Such as one about the format of what was sent.
            Line::ClientError(_) => Err(Fault::WrongPassword),
            line => Err(Fault::of(&line)),
        }
    }

    /// What the server says it is.
    pub(super) async fn version(&mut self) -> Result<String, Fault> {
        match self.ask(b"version\r\n").await? {
            Line::Version(version) => Ok(version.to_owned()),
            line => Err(Fault::of(&line)),
        }
    }

    /// An item.
    pub(super) async fn get(&mut self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let length = match self.ask(format!("get {name}\r\n").as_bytes()).await? {
            Line::End => return Ok(None),
            Line::Value { name: found, length } if found == name => length,
            line => return Err(Fault::of(&line)),
        };
        if length > LARGEST {
            return Err(Fault::TooLarge);
        }
        let whole = length + 2;
        let mut item = Vec::with_capacity(usize::try_from(whole.min(AT_ONCE)).unwrap_or(0));
        (&mut self.wire).take(whole).read_to_end(&mut item).await?;
        if u64::try_from(item.len()).is_ok_and(|came| came < whole) {
            return Err(Fault::hung_up());
        }
        if !item.ends_with(b"\r\n") {
            return Err(Fault::Strange);
        }
        item.truncate(item.len() - 2);
        match self.answer().await? {
            Line::End => Ok(Some(item)),
            line => Err(Fault::of(&line)),
        }
    }

    /// Stores an item for so many seconds.
    pub(super) async fn set(&mut self, name: &str, item: &[u8], seconds: i64) -> Result<(), Fault> {
        match self.ask(&protocol::set(name, item, seconds)).await? {
            Line::Stored => Ok(()),
            line => Err(Fault::of(&line)),
        }
    }

    /// Removes an item, if it is there.
    pub(super) async fn delete(&mut self, name: &str) -> Result<(), Fault> {
        match self.ask(format!("delete {name}\r\n").as_bytes()).await? {
            Line::Deleted | Line::NotFound => Ok(()),
            line => Err(Fault::of(&line)),
        }
    }

    /// The names of all items that begin with `prefix`, as the server writes them.
    pub(super) async fn names(&mut self, prefix: &str) -> Result<Vec<String>, Fault> {
        // By its table of names, which has them all. Where the server goes through its items by
        // their age, it misses some of those that change their place meanwhile.
        if let Some(names) = self.dump("hash", prefix).await? {
            return Ok(names);
        }
        self.dump("all", prefix).await?.ok_or(Fault::Strange)
    }

    /// What a dump of this kind shows; `None` where the server has none such.
    async fn dump(&mut self, kind: &str, prefix: &str) -> Result<Option<Vec<String>>, Fault> {
        let mut names = Vec::new();
        let mut line = self.ask(format!("lru_crawler metadump {kind}\r\n").as_bytes()).await?;
        loop {
            match line {
                Line::End => return Ok(Some(names)),
                Line::BadClass => return Ok(None),
                Line::Key(_) if names.len() == NAMES => return Err(Fault::TooLarge),
                Line::Key(name) if name.starts_with(prefix) => names.push(name.to_owned()),
                Line::Key(_) => {}
                line => return Err(Fault::of(&line)),
            }
            line = self.answer().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// A connection to a server that says this, whatever it is asked, and hangs up.
    fn to(answer: &[u8]) -> Connection {
        Connection::over(tokio::io::join(Cursor::new(answer.to_vec()), tokio::io::sink()))
    }

    /// What comes of it, without waiting.
    fn now<T>(exchange: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(exchange)
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(now(to(b"VERSION 1.6.18\r\n").version()).unwrap(), "1.6.18");
        let found = now(to(b"VALUE a 0 5\r\nx\r\ny\0\r\nEND\r\n").get("a")).unwrap();
        assert_eq!(found.unwrap(), b"x\r\ny\0");
        assert!(now(to(b"END\r\n").get("a")).unwrap().is_none());
        now(to(b"STORED\r\n").set("a", b"x", 0)).unwrap();
        now(to(b"DELETED\r\n").delete("a")).unwrap();
        now(to(b"NOT_FOUND\r\n").delete("a")).unwrap();
        let dump = b"key=p.a exp=-1\nkey=q.b exp=-1\nkey=p.c exp=1\r\nEND\r\n";
        assert_eq!(now(to(dump).names("p.")).unwrap(), ["p.a", "p.c"]);
        let older = [b"BADCLASS invalid class id\r\n", &dump[..]].concat();
        assert_eq!(now(to(&older).names("p.")).unwrap(), ["p.a", "p.c"]);
    }

    #[test]
    fn answers_that_are_none_are_told() {
        let hung_up = |fault: &Fault| matches!(fault, Fault::Way(_));
        let strange = |fault: &Fault| matches!(fault, Fault::Strange);
        let get = |answer: &[u8]| now(to(answer).get("a")).unwrap_err();
        assert!(hung_up(&get(b"")));
        assert!(hung_up(&get(b"VALUE a 0 5\r\nxy")));
        assert!(hung_up(&get(b"VALUE a 0 1\r\nx\r\n")));
        assert!(strange(&get(b"VALUE b 0 1\r\nx\r\nEND\r\n")), "another's item");
        assert!(strange(&get(b"VALUE a 0 1\r\nxyzEND\r\n")));
        assert!(strange(&get(b"STORED\r\n")));
        assert!(hung_up(&get(b"EN")));
        assert!(strange(&get(b"\x15\x03\x01")), "not even a part of a line");
        assert!(strange(&get(&[b'x'; 1 << 16])), "a line without an end");
        let large = format!("VALUE a 0 {}\r\n", LARGEST + 1);
        assert!(matches!(get(large.as_bytes()), Fault::TooLarge));
        // A size that is only claimed costs no memory.
        assert!(hung_up(&get(format!("VALUE a 0 {LARGEST}\r\nxy").as_bytes())));
    }

    #[test]
    fn what_nobody_asked_for_is_noticed() {
        let mut connection = to(b"END\r\nEND\r\n");
        assert!(now(connection.get("a")).unwrap().is_none());
        assert!(!connection.is_in_step());
    }

    #[tokio::test]
    async fn a_password_goes_only_to_a_server_that_asks() {
        for (answer, asked) in [
            (&b"VERSION 1.6.18\r\n"[..], false),
            (b"HTTP/1.1 400 Bad Request\r\n", false),
            (b"CLIENT_ERROR unauthenticated\r\nSTORED\r\n", true),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(1 << 10);
            theirs.write_all(answer).await.unwrap();
            let mut connection = Connection::over(ours);
            let outcome = connection.authenticate("me", &Secret::new("hunter2")).await;
            assert_eq!(outcome.is_ok(), asked);
            drop(connection);
            let mut heard = String::new();
            theirs.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard.contains("hunter2"), asked, "{heard}");
            assert!(!format!("{outcome:?}").contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(
            head in "(VALUE a 0 [0-9]{1,3}|END|STORED|key=a|CLIENT_ERROR unauthenticated)?\r?\n?",
            rest: Vec<u8>,
        ) {
            let answer = [head.as_bytes(), &rest].concat();
            let password = Secret::new("x");
            now(async {
                let _any = to(&answer).version().await;
                let _any = to(&answer).get("a").await;
                let _any = to(&answer).set("a", b"x", 0).await;
                let _any = to(&answer).delete("a").await;
                let _any = to(&answer).names("").await;
                let _any = to(&answer).authenticate("me", &password).await;
            });
        }
    }
}
