//! A TCP proxy whose connections a test can cut or freeze.

use std::{
    future::pending,
    net::SocketAddr,
    ops::Range,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards to one address until it is told to cut.
pub struct Proxy {
    pub address: SocketAddr,
    cut: watch::Sender<u64>,
    freeze: watch::Sender<u64>,
    hold: watch::Sender<bool>,
}

impl Proxy {
    /// Listens on a free port of the loopback address.
    pub async fn to(target: SocketAddr) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), target).await
    }

    /// Listens on an address that was free.
    pub async fn at(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (cut, cuts) = watch::channel(0);
        let (freeze, freezes) = watch::channel(0);
        let (hold, holds) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                let mut freezes = freezes.clone();
                freezes.mark_unchanged();
                let mut holds = holds.clone();
                tokio::spawn(async move {
                    let_go(&mut holds).await;
                    let Ok(mut server) = TcpStream::connect(target).await else {
                        return;
                    };
                    // As those at both ends do; else small packets wait for each other.
                    for stream in [&client, &server] {
                        stream.set_nodelay(true).expect("a TCP stream");
                    }
                    tokio::select! {
                        () = carry(&mut client, &mut server, holds) => {}
                        _ = cuts.changed() => {}
                        _ = freezes.changed() => pending().await,
                    }
                });
            }
        });
        Self { address, cut, freeze, hold }
    }

    /// Breaks every connection there is; new ones are accepted.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Nothing goes over the connections there are any more, though they stand; new ones work.
    pub fn freeze(&self) {
        self.freeze.send_modify(|freezes| *freezes += 1);
    }

    /// Nothing goes over any connection any more, be it new, though they stand: as when the host is out of reach.
    pub fn hold(&self) {
        self.hold.send_replace(true);
    }

    /// What was held goes on from where it was.
    pub fn let_go(&self) {
        self.hold.send_replace(false);
    }
}

async fn let_go(holds: &mut watch::Receiver<bool>) {
    // Whoever could hold it again is gone with the proxy.
    let _ = holds.wait_for(|held| !held).await;
}

/// Copies both ways, except while it is held.
async fn carry(client: &mut TcpStream, server: &mut TcpStream, mut holds: watch::Receiver<bool>) {
    let mut copying = pin!(copy_bidirectional(client, server));
    loop {
        let_go(&mut holds).await;
        tokio::select! {
            _ = &mut copying => return,
            Ok(_) = holds.wait_for(|held| *held) => {}
        }
    }
}

/// Cuts the connections again and again until dropped.
pub struct Cutting {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Cutting {
    /// Whoever goes on using the proxy afterwards keeps it. `pauses`: milliseconds between two cuts, uneven, so that cuts meet every phase of what goes on.
    pub fn start(proxy: Arc<Proxy>, pauses: Range<u64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let done = Arc::new(AtomicUsize::new(0));
        let cuts = done.clone();
        tokio::spawn(async move {
            let width = pauses.end - pauses.start;
            let step = width * 5 / 8 + 1;
            for n in 0_u64.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(pauses.start + n * step % width)).await;
                proxy.cut();
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, done }
    }

    /// How often it has cut them.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The same URL by way of `proxy`.
pub fn through(url: &str, proxy: &Proxy) -> String {
    let (credentials, rest) = url.rsplit_once('@').expect("the URL has credentials");
    let (_, database) = rest.split_once('/').expect("the URL names a database");
    format!("{credentials}@{}/{database}", proxy.address)
}

/// Where a URL points to.
pub fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.rsplit_once('@').expect("the URL has credentials");
    let (address, _) = rest.split_once('/').expect("the URL names a database");
    address.parse().expect("an address of the loopback network")
}
