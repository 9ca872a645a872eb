//! How many durable creates a second the API does over HTTPS, by 1 and by 64 clients.
//!
//! `creates KUBECONFIG`; bounded in count and time.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

const COUNT: usize = 6400;
const TIME: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).expect("usage: creates KUBECONFIG");
    let kubeconfig = Kubeconfig::read_from(path).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a config");
    for clients in [1, 64] {
        let rate = creates(&config, clients).await;
        println!("API over HTTPS, {clients} clients: {rate:.0}/s");
    }
}

async fn creates(config: &Config, clients: usize) -> f64 {
    let made = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (config, made) = (config.clone(), Arc::clone(&made));
            tokio::spawn(async move {
                let api: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config).expect("a client"));
                let data = [("key".to_owned(), "value".repeat(20))].into();
                let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
                for n in 0.. {
                    if made.fetch_add(1, Ordering::Relaxed) >= COUNT || start.elapsed() > TIME {
                        return n;
                    }
                    map.metadata.name = Some(format!("bench-{clients}-{client}-{n}"));
                    api.create(&PostParams::default(), &map).await.expect("a create");
                }
                unreachable!("the loop above ends by its bounds")
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.expect("a client's task");
    }
    let rate = f64::from(total) / start.elapsed().as_secs_f64();
    let api: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config.clone()).expect("a client"));
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("a clean-up");
    rate
}
