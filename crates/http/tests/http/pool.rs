//! Connections are used again where they can be, and never where they must not.

use crate::servers::{
    Answer, Names, channel, client, client_with, data, egress, eventually, fetch, get, http,
    network, post, raw, read_head, send, settings, text,
};
use http_body_util::BodyExt as _;
use http_types::Request;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use wharf_http::client::{Client, Error, Network, Settings};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let server = http(|_| async { text("fine") }).await;
    let client = client();
    for _ in 0..20 {
        assert_eq!(fetch(&client, get(server.url("/"))).await.unwrap(), "fine");
        assert_eq!(fetch(&client, post(server.url("/"), "body")).await.unwrap(), "fine");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used() {
    let server = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await
    })
    .await;
    let client = client();
    for _ in 0..50 {
        assert_eq!(fetch(&client, get(server.url("/"))).await.unwrap(), "fine");
        // The server's goodbye is on its way, so that the next request meets a closed socket.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(server.connections(), 50);
}

#[tokio::test]
async fn a_kept_connection_that_closes_fails_no_request_that_may_be_made_twice() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    // Closes when a second request of a connection came, which the client has sent by then.
    let server = raw(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await?;
            read_head(&mut stream).await?;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await;
    let client = client();
    for _ in 0..20 {
        assert_eq!(fetch(&client, get(server.url("/"))).await.unwrap(), "fine");
    }
    assert_eq!((server.connections(), closed.load(Ordering::SeqCst)), (20, 19));
    // What may be done once only is not sent again.
    let error = fetch(&client, post(server.url("/"), "body")).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionTerminated), "{error}");
    assert_eq!(server.connections(), 20);
}

/// A server that answers every request on a connection but says when a connection ended.
async fn watched(ended: Arc<Notify>, response: &'static str) -> crate::servers::Server {
    raw(move |mut stream, before| {
        let ended = Arc::clone(&ended);
        async move {
            read_head(&mut stream).await?;
            let response = if before == 0 { response } else { "HTTP/1.1 204 Nothing\r\n\r\n" };
            stream.write_all(response.as_bytes()).await?;
            drop(stream.read_to_end(&mut Vec::new()).await);
            ended.notify_one();
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn dropping_the_wait_for_a_response_ends_the_connection() {
    let ended = Arc::new(Notify::new());
    let server = watched(Arc::clone(&ended), "").await;
    let client = client();
    let request = send(&client, get(server.url("/")));
    assert!(tokio::time::timeout(SHORT, request).await.is_err());
    ended.notified().await;
    assert_eq!(fetch(&client, get(server.url("/"))).await.unwrap(), "");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn dropping_half_a_body_ends_the_connection() {
    let ended = Arc::new(Notify::new());
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let server = watched(Arc::clone(&ended), half).await;
    let client = client();
    let mut body = send(&client, get(server.url("/"))).await.unwrap().response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    drop(body);
    ended.notified().await;
    assert_eq!(fetch(&client, get(server.url("/"))).await.unwrap(), "");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_dropped_response_stops_the_request_that_is_still_sent() {
    let server = http(|_| async { text("early") }).await;
    let client = client();
    let (sender, body) = channel();
    sender.send(data("x")).await.unwrap();
    let request = Request::post(server.url("/")).body(body).unwrap();
    let exchange = send(&client, request).await.unwrap();
    drop(exchange.response);
    // The guest's side of the body is told.
    sender.closed().await;
    assert_eq!(exchange.sent.await, Err(Error::ConnectionTerminated));
}

#[tokio::test]
async fn an_early_response_lets_the_request_go_on() {
    let server = raw(|mut stream, _| async move {
        loop {
            read_head(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").await?;
            stream.read_exact(&mut [0; 10]).await?;
            stream.write_all(b"").await?;
        }
    })
    .await;
    let client = client();
    for _ in 0..3 {
        let (sender, body) = channel();
        let request = Request::post(server.url("/")).header("content-length", 10);
        let exchange = send(&client, request.body(body).unwrap()).await.unwrap();
        let early = exchange.response.into_body().collect().await.unwrap();
        assert_eq!(early.to_bytes(), "early");
        sender.send(data("01234")).await.unwrap();
        sender.send(data("56789")).await.unwrap();
        drop(sender);
        exchange.sent.await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

/// Counts how many of its requests are under way at once.
#[derive(Clone, Default)]
struct Peak(Arc<(AtomicUsize, AtomicUsize)>);

impl Peak {
    async fn answer(self) -> Answer {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.0.fetch_sub(1, Ordering::SeqCst);
        text("fine")
    }

    fn peak(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

async fn flood(settings: Settings, requests: usize) -> (usize, usize) {
    let peak = Peak::default();
    let counter = peak.clone();
    let server = http(move |_| counter.clone().answer()).await;
    let client = client_with(settings);
    let ask = || async { fetch(&client, get(server.url("/"))).await.unwrap() };
    futures::future::join_all((0..requests).map(|_| ask())).await;
    (peak.peak(), server.connections())
}

#[tokio::test]
async fn a_host_gets_so_many_connections_and_the_rest_waits() {
    let settings = Settings { connections_per_host: 4, ..settings() };
    assert_eq!(flood(settings, 30).await, (4, 4));
}

#[tokio::test]
async fn a_component_sends_so_many_requests_and_the_rest_waits() {
    let settings = Settings { requests: 3, ..settings() };
    assert_eq!(flood(settings, 30).await, (3, 3));
}

#[tokio::test]
async fn waiting_is_bounded_in_number_and_in_time() {
    let server = http(|_| std::future::pending()).await;
    for settings in [
        Settings { requests: 1, queue: 0, ..settings() },
        Settings { requests: 1, connect_timeout: SHORT, ..settings() },
        Settings { connections_per_host: 1, connect_timeout: SHORT, ..settings() },
    ] {
        let client = client_with(settings);
        let first = send(&client, get(server.url("/")));
        let second = async {
            tokio::time::sleep(SHORT / 2).await;
            fetch(&client, get(server.url("/"))).await
        };
        tokio::select! {
            _ = first => panic!("nobody answered"),
            error = second => assert_eq!(error, Err(Error::ConnectionLimitReached)),
        }
    }
}

#[tokio::test]
async fn idle_connections_make_room_for_other_components() {
    let (one, other) = (http(|_| async { text("1") }).await, http(|_| async { text("2") }).await);
    let network = Arc::new(Network::new(1).with_resolver(Arc::new(Names::default())));
    let client = || Client::new(Arc::clone(&network), egress(&["127.0.0.1"]), settings());
    let (first, second) = (client(), client());
    for _ in 0..5 {
        assert_eq!(fetch(&first, get(one.url("/"))).await.unwrap(), "1");
        assert_eq!(fetch(&second, get(other.url("/"))).await.unwrap(), "2");
    }
    assert_eq!((one.connections(), other.connections()), (5, 5));
}

#[tokio::test]
async fn a_full_network_refuses_in_time() {
    let server = http(|_| std::future::pending()).await;
    let network = Arc::new(Network::new(1).with_resolver(Arc::new(Names::default())));
    let settings = Settings { connect_timeout: SHORT, ..settings() };
    let client = Client::new(network, egress(&["127.0.0.1"]), settings);
    let both = async || {
        let ask = || fetch(&client, get(server.url("/")));
        tokio::select! { first = ask() => first, second = ask() => second }
    };
    assert_eq!(both().await, Err(Error::ConnectionLimitReached));
}

#[tokio::test]
async fn idle_connections_close_in_time() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let server = raw(move |mut stream, _| {
        let open = Arc::clone(&count);
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            read_head(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 204 Nothing\r\n\r\n").await?;
            drop(stream.read_to_end(&mut Vec::new()).await);
            open.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await;
    let client = client_with(Settings { idle_timeout: SHORT, ..settings() });
    fetch(&client, get(server.url("/"))).await.unwrap();
    assert_eq!(open.load(Ordering::SeqCst), 1);
    eventually("the idle connection closes", || open.load(Ordering::SeqCst) == 0).await;

    let never = client_with(Settings { idle_timeout: Duration::ZERO, ..settings() });
    fetch(&never, get(server.url("/"))).await.unwrap();
    eventually("it closes at once", || open.load(Ordering::SeqCst) == 0).await;

    let dropped = client_with(settings());
    fetch(&dropped, get(server.url("/"))).await.unwrap();
    drop(dropped);
    eventually("it goes with its client", || open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn places_that_were_never_reached_are_forgotten() {
    let server = http(|_| async { text("fine") }).await;
    let client = client();
    fetch(&client, get(server.url("/"))).await.unwrap();
    for number in 0..100 {
        let url = format!("http://number-{number}.test/");
        assert!(fetch(&client, get(url)).await.is_err());
    }
    let shown = format!("{client:?}");
    assert!(shown.contains("places: 1"), "{shown}");
}

/// Runs something on a runtime of its own, which is left running.
fn elsewhere<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> (tokio::runtime::Runtime, T) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(work);
        (runtime, result)
    };
    std::thread::spawn(run).join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_runtime_that_ended_are_replaced() {
    let server = http(|_| async { text("fine") }).await;
    let client = client_with(Settings { connections_per_host: 1, ..settings() });
    for round in 1..=3 {
        let (client, url) = (client.clone(), server.url("/"));
        let ask = async move { fetch(&client, get(url)).await };
        let (runtime, answer) = elsewhere(ask);
        assert_eq!(answer.unwrap(), "fine");
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
        assert_eq!(server.connections(), round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_whose_runtime_ended_is_not_taken_for_whole() {
    let endless = raw(|mut stream, _| async move {
        read_head(&mut stream).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
            .await?;
        std::future::pending().await
    })
    .await;
    let (client, url) = (client(), endless.url("/"));
    let ask = async move { send(&client, get(url)).await };
    let (runtime, exchange) = elsewhere(ask);
    let mut body = exchange.unwrap().response.into_body();
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    let end = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap().unwrap_err(), Error::HttpResponseIncomplete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_runtime_has_its_connections_until_the_host_is_full() {
    let server = http(|_| async { text("fine") }).await;
    let rules = || egress(&["127.0.0.1"]);
    let wide = Client::new(network(Names::default()), rules(), settings());
    let narrow = Settings { connections_per_host: 1, ..settings() };
    let narrow = Client::new(network(Names::default()), rules(), narrow);
    for (client, connections) in [(wide, 2), (narrow, 3)] {
        fetch(&client, get(server.url("/"))).await.unwrap();
        let (there, url) = (client.clone(), server.url("/"));
        let visit = async move { fetch(&there, get(url)).await };
        // The first runtime, which drives the shared connection, goes on meanwhile.
        let other = tokio::task::spawn_blocking(move || {
            let (runtime, answer) = elsewhere(visit);
            drop(runtime);
            answer
        });
        assert_eq!(other.await.unwrap().unwrap(), "fine");
        assert_eq!(server.connections(), connections);
    }
}
