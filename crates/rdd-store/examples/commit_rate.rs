//! Measures durable creates per second beside raw SQLite commits on the same disk in the same run.
//!
//! `commit_rate [DIRECTORY]`; the ratios at the end are what to compare between machines. Bounded in count and time.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rdd_store::{Expect, Key, Location, Options, Store};

const MOST: usize = 4000;
const LONGEST: Duration = Duration::from_secs(4);
const BYTES: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let before = raw(&directory.path().join("raw-1.db"))?;
    let one = runtime.block_on(clients(&directory.path().join("one.db"), 1))?;
    let many = runtime.block_on(clients(&directory.path().join("many.db"), 64))?;
    // Whatever else the machine does: the better of two runs is what the disk can do.
    let raw = raw(&directory.path().join("raw-2.db"))?.max(before);
    println!("raw SQLite commits/s, synchronous=FULL   {raw:9.0}");
    println!("durable creates/s, 1 client              {one:9.0}   {:6.2} x raw", one / raw);
    println!("durable creates/s, 64 clients            {many:9.0}   {:6.2} x raw", many / raw);
    Ok(())
}

fn raw(path: &Path) -> Result<f64, Box<dyn Error>> {
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, key TEXT, value BLOB)")?;
    let mut insert = connection.prepare("INSERT INTO t (key, value) VALUES (?1, ?2)")?;
    let started = Instant::now();
    let mut done = 0;
    while done < MOST && started.elapsed() < LONGEST {
        insert.execute((format!("/configmaps/default/n{done}"), &[b'x'; BYTES][..]))?;
        done += 1;
    }
    Ok(rate(done, started))
}

async fn clients(path: &Path, clients: usize) -> Result<f64, Box<dyn Error>> {
    let store = Store::open(Location::File(path.to_owned()), Options::default())?;
    let most = MOST * clients.min(8) / clients;
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients).map(|client| tokio::spawn(create(store.clone(), client, most, started))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    let rate = rate(done, started);
    store.close().await;
    Ok(rate)
}

async fn create(store: Store, client: usize, most: usize, started: Instant) -> Result<usize, rdd_store::WriteError> {
    let mut done = 0;
    while done < most && started.elapsed() < LONGEST {
        let key = Key::new("", "configmaps", Some("default"), &format!("c{client}-{done}"));
        store.put(key, vec![b'x'; BYTES].into(), Expect::Absent, None).await?;
        done += 1;
    }
    Ok(done)
}

#[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn rate(done: usize, started: Instant) -> f64 {
    done as f64 / started.elapsed().as_secs_f64()
}
