//! Nothing in; a PostgreSQL server of this machine, outside of the cluster, with the URL at which pods reach it, out.

use novacrm_operator::local::postgres::{Options, Programs, Server, start, unprivileged_account};
use novacrm_tests::cluster::ADDRESS;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server that ends when dropped.
pub struct Outside {
    pub url: String,
    _server: Server,
    /// The server listens to this machine alone; pods are passed on to it.
    _relay: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Outside {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("novacrm-outside.").tempdir().unwrap();
        let options = Options {
            programs: Programs::find(None),
            folder: folder.path().to_owned(),
            account: unprivileged_account().unwrap(),
            port: None,
            guardian: None,
        };
        let server = start(&options).await.unwrap();
        let mut url = url::Url::parse(&server.url("postgres")).unwrap();
        let local = (url.host_str().unwrap().to_owned(), url.port().unwrap());

        let listener = TcpListener::bind((ADDRESS, 0)).await.unwrap();
        let outer = listener.local_addr().unwrap();
        url.set_ip_host(outer.ip()).unwrap();
        url.set_port(Some(outer.port())).unwrap();
        let mut relay = JoinSet::new();
        relay.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut pod, _)) = listener.accept().await {
                let local = local.clone();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(local).await?;
                    tokio::io::copy_bidirectional(&mut pod, &mut server).await
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url: url.into(), _server: server, _relay: relay, _folder: folder }
    }
}
