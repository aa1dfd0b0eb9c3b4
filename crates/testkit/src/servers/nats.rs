//! NATS with JetStream: one server, or a cluster of three.

use super::{Recipe, Server, Vendor, answers, ask, asked, folder, free, listens, marked, wait};
use crate::certificates::Certificates;
use crate::proxy::Proxy;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const NATS: Recipe = Recipe { program: "nats-server", package: "nats-server", scheme: "nats" };

pub(super) const VENDOR: Vendor = Vendor {
    name: "nats",
    url: |address| format!("nats://{address}"),
    shared: || {
        static SERVER: LazyLock<Server> = LazyLock::new(|| nats_with(&["-js"]));
        &SERVER
    },
    start: || nats_with(&["-js"]),
    again: |crashed| {
        let (folder, address) = crashed.leave();
        start_at(folder, address, &["-js"])
    },
    kept: |address| {
        let question = "CONNECT {\"verbose\":false}\r\nSUB answer 1\r\n\
                        PUB $JS.API.STREAM.NAMES answer 0\r\n\r\n";
        let answer = |said: &str| {
            let (_, answer) = said.split_once("stream_names_response")?;
            Some(answer.split_once("}\r\n")?.0.to_owned())
        };
        let said = asked(address, question, |said| answer(said).is_some());
        let answer = answer(&said).unwrap_or_else(|| panic!("no answer: {said}"));
        let streams = answer.split_once("\"streams\":[").map_or("", |(_, streams)| streams);
        streams.split(']').next().into_iter().flat_map(|all| marked(all, "\"KV_", "\"")).collect()
    },
};

/// A server of a test's own, with nothing in it, and with these arguments; without `-js` it has no
/// JetStream.
pub fn nats_with(arguments: &[&str]) -> Server {
    start_at(folder("nats"), free(), arguments)
}

/// A server that speaks TLS alone and wants to see a certificate of its clients.
pub fn nats_tls(certificates: &Certificates) -> Server {
    let path = |path: &Path| path.display().to_string();
    nats_with(&[
        "-js",
        "--tlsverify",
        "--tlscert",
        &path(&certificates.server),
        "--tlskey",
        &path(&certificates.server_key),
        "--tlscacert",
        &path(&certificates.ca),
    ])
}

fn start_at(folder: PathBuf, address: SocketAddr, arguments: &[&str]) -> Server {
    let port = address.port().to_string();
    let usual = ["-a", "127.0.0.1", "-p", &port, "-sd", "data"];
    let arguments: Vec<String> =
        usual.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    // It speaks first.
    NATS.start(folder, address, &arguments, |address| answers(address, "", "INFO {"))
}

/// Three servers that keep their streams together.
pub struct NatsCluster {
    /// The servers.
    pub nodes: Vec<Server>,
    /// Where each answers questions about itself.
    monitors: Vec<SocketAddr>,
    /// Where each hears of the others.
    routes: Vec<SocketAddr>,
    /// What is between them, with where it leads from and to.
    links: Vec<(usize, usize, Proxy)>,
    /// Where each says that it can be found, so that the others come through the proxies alone.
    nowhere: Option<SocketAddr>,
}

impl NatsCluster {
    /// The one for all tests of this program that harm nobody.
    pub fn shared() -> &'static Self {
        static CLUSTER: LazyLock<NatsCluster> = LazyLock::new(NatsCluster::start);
        &CLUSTER
    }

    /// Starts three, and waits until they have found a leader.
    ///
    /// # Panics
    /// If one does not start.
    pub fn start() -> Self {
        Self::unborn().born()
    }

    /// Starts three with a proxy in each way from one to another.
    ///
    /// # Panics
    /// If one does not start.
    pub async fn start_with_links() -> Self {
        let mut cluster = Self { nowhere: Some(free()), ..Self::unborn() };
        for (from, to) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let route = *cluster.routes.get(to).expect("there are three");
            cluster.links.push((from, to, Proxy::start(route).await));
        }
        cluster.born()
    }

    fn unborn() -> Self {
        let three = || -> Vec<SocketAddr> { (0..3).map(|_| free()).collect() };
        let (monitors, routes) = (three(), three());
        Self { nodes: Vec::new(), monitors, routes, links: Vec::new(), nowhere: None }
    }

    fn born(mut self) -> Self {
        let cluster = &mut self;
        for index in 0..3 {
            let node = cluster.node(index, folder("nats"), free());
            cluster.nodes.push(node);
        }
        cluster.wait();
        self
    }

    /// What two of them say to each other waits from now on, or goes on.
    pub fn stall(&self, one: usize, other: usize, stalled: bool) {
        for (from, to, link) in &self.links {
            if [*from, *to].contains(&one) && [*from, *to].contains(&other) {
                link.change(|weather| weather.stalled = stalled);
            }
        }
    }

    /// Where a node looks for another, or for itself.
    fn route(&self, index: usize, to: usize) -> SocketAddr {
        let link = self.links.iter().find(|link| (link.0, link.1) == (index, to));
        let route = self.routes.get(to).expect("there are three");
        link.map_or(*route, |(_, _, link)| link.address())
    }

    fn node(&self, index: usize, folder: PathBuf, address: SocketAddr) -> Server {
        let (monitor, route) = (self.monitors.get(index), self.routes.get(index));
        let (monitor, route) = monitor.zip(route).expect("there are three");
        let routes: Vec<String> =
            (0..3).map(|to| format!("\"nats://{}\"", self.route(index, to))).collect();
        let advertised =
            self.nowhere.map(|it| format!(", advertise: \"{it}\"")).unwrap_or_default();
        let settings = format!(
            "listen: \"{address}\"\nhttp: \"{monitor}\"\nserver_name: n{index}\n\
             jetstream {{ store_dir: data }}\n\
             cluster {{ name: test, listen: \"{route}\", routes: [{}]{advertised} }}\n",
            routes.join(", ")
        );
        fs::write(folder.join("nats.conf"), settings).expect("the folder is ours");
        let arguments = ["-c".to_owned(), "nats.conf".to_owned()];
        NATS.start(folder, address, &arguments, listens)
    }

    /// Waits until all of them follow the same leader and have caught up.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait(&self) {
        for monitor in &self.monitors {
            wait("the cluster has a leader", || {
                ask(*monitor, "GET /jsz HTTP/1.0\r\n\r\n")
                    .is_some_and(|said| said.contains("\"leader\": \"n"))
            });
            wait("the server has caught up", || {
                ask(*monitor, "GET /healthz HTTP/1.0\r\n\r\n")
                    .is_some_and(|said| said.contains("\"ok\""))
            });
        }
    }

    /// Starts a node again after its crash.
    ///
    /// # Panics
    /// If it does not start.
    pub fn again(&mut self, index: usize) {
        let (folder, address) = self.nodes.remove(index).leave();
        let node = self.node(index, folder, address);
        self.nodes.insert(index, node);
        self.wait();
    }

    /// Which node leads the stream.
    ///
    /// # Panics
    /// If there is no such stream.
    pub fn leader(&self, stream: &str) -> usize {
        let find = || {
            let question = "GET /jsz?streams=true HTTP/1.0\r\n\r\n";
            self.monitors.iter().find_map(|monitor| {
                let said = ask(*monitor, question)?;
                let (_, of_stream) = said.split_once(&format!("\"name\": \"{stream}\""))?;
                let (_, name) = of_stream.split_once("\"leader\": \"n")?;
                name.get(..1)?.parse().ok()
            })
        };
        wait("the stream has a leader", || find().is_some());
        find().expect("it was there just now")
    }

    /// The settings of a binding on it.
    ///
    /// # Panics
    /// Never: there are three.
    pub fn settings(&self) -> String {
        let rest: Vec<String> =
            self.nodes.iter().skip(1).map(|node| format!("'{}'", node.address())).collect();
        let first = self.nodes.first().map(Server::url).expect("there are three");
        format!("url = '{first}', replicas = 3, nodes = [{}]", rest.join(", "))
    }
}
