use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::server::{Reply, Server};
use super::{chain, digest, noise, source};
use crate::{Cache, Policy, Progress, Stage};

fn policy() -> Policy {
    Policy {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        attempts: 3,
        pause: Duration::from_millis(1),
    }
}

struct Place {
    directory: tempfile::TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(directory.path().join("download")).with_policy(policy());
        Self { directory, cache }
    }

    /// Another process with the same cache.
    fn again(&self) -> Cache {
        Cache::new(self.directory.path().join("download")).with_policy(policy())
    }

    fn dest(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

fn quiet(_: Progress) {}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}

/// The names in the entry of a URL.
fn entry(cache: &Cache, url: &str) -> Vec<String> {
    let data = cache.data_path(url);
    let mut names: Vec<String> = std::fs::read_dir(data.parent().expect("a parent"))
        .expect("the entry is there")
        .map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_downloaded_once_in_limas_layout() {
    let body = noise(3 << 20);
    let served = body.clone();
    let server = Server::start(move |_, _| {
        Reply::ok(&served).with("last-modified: Mon, 23 Nov 2026 04:00:00 GMT").with("content-type: application/x-disk")
    })
    .await;
    let place = Place::new();
    let file = source(&server.url, Some(digest(&body)));
    let stages = Mutex::new(Vec::new());
    let log = |p: Progress| stages.lock().expect("not poisoned").push((p.stage, p.done, p.total));
    place.cache.fetch(&file, &place.dest("a"), true, &log).await.expect("fetched");
    assert_eq!(read(&place.dest("a")), body);
    assert_eq!(entry(&place.cache, &server.url), ["data", "sha256.digest", "time", "type", "url"]);
    let in_entry = |name| {
        let path = place.cache.data_path(&server.url).with_file_name(name);
        String::from_utf8(read(&path)).expect("utf-8")
    };
    assert_eq!(in_entry("url"), server.url);
    assert_eq!(in_entry("time"), "Mon, 23 Nov 2026 04:00:00 GMT");
    assert_eq!(in_entry("type"), "application/x-disk");
    assert_eq!(in_entry("sha256.digest"), digest(&body));
    let url_hash = digest(server.url.as_bytes());
    assert!(place.cache.data_path(&server.url).ends_with(format!("by-url-sha256/{}/data", &url_hash[7..])));
    let total = Some(body.len() as u64);
    assert!(stages.lock().expect("not poisoned").contains(&(Stage::Downloading, body.len() as u64, total)));

    place.cache.fetch(&file, &place.dest("b"), true, &quiet).await.expect("fetched");
    place.again().fetch(&file, &place.dest("c"), true, &quiet).await.expect("fetched");
    // What exists is left as it is.
    std::fs::write(place.dest("d"), "mine").expect("written");
    place.cache.fetch(&file, &place.dest("d"), true, &quiet).await.expect("nothing to do");
    assert_eq!((read(&place.dest("c")), read(&place.dest("d"))), (body, b"mine".to_vec()));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_cut_connection_is_gone_on_with() {
    let body = noise(500_000);
    let served = body.clone();
    let server = Server::start(move |request, n| {
        let reply = Reply::ranged(request, &served, "\"v1\"");
        if n < 2 { reply.cut(200_000) } else { reply }
    })
    .await;
    let place = Place::new();
    let file = source(&server.url, Some(digest(&body)));
    place.cache.fetch(&file, &place.dest("a"), true, &quiet).await.expect("fetched");
    assert_eq!(read(&place.dest("a")), body);
    let ranges: Vec<_> =
        server.requests().iter().map(|r| (r.range(), r.header("if-range").map(str::to_owned))).collect();
    let tag = Some("\"v1\"".to_owned());
    assert_eq!(ranges, [(None, None), (Some(200_000), tag.clone()), (Some(400_000), tag)]);
    assert_eq!(entry(&place.cache, &server.url), ["data", "sha256.digest", "url"]);
}

#[tokio::test]
async fn a_later_process_goes_on_unless_the_file_changed() {
    for (second_tag, expect_range) in [("\"v1\"", true), ("\"v2\"", false)] {
        let (old, new) = (noise(300_000), noise(300_001)[1..].to_vec());
        let is_same = second_tag == "\"v1\"";
        let body = if is_same { old.clone() } else { new };
        let (first, second) = (old.clone(), body.clone());
        let server = Server::start(move |request, n| match n {
            0..3 => Reply { body: first.clone(), ..Reply::ranged(request, &first, "\"v1\"") }.cut(if n == 0 {
                100_000
            } else {
                0
            }),
            _ => Reply::ranged(request, &second, second_tag),
        })
        .await;
        let place = Place::new();
        let file = source(&server.url, None);
        let error = place.cache.fetch(&file, &place.dest("a"), true, &quiet).await.expect_err("cut three times");
        assert!(error.to_string().starts_with("cannot download http://"), "{error}");
        assert!(!place.dest("a").exists() && !place.cache.data_path(&server.url).exists());
        let kept = entry(&place.cache, &server.url);
        assert!(kept.contains(&"data.partial".to_owned()), "{kept:?}");
        place.again().fetch(&file, &place.dest("a"), true, &quiet).await.expect("fetched");
        assert!(read(&place.dest("a")) == body, "the new file, and nothing of the old one");
        let last = server.requests().pop().expect("a request");
        assert_eq!(last.range().is_some(), expect_range || last.header("if-range").is_some());
    }
}

#[tokio::test]
async fn a_stalled_server_is_given_up_and_gone_on_with() {
    let body = noise(100_000);
    let served = body.clone();
    let server = Server::start(move |request, n| {
        let reply = Reply::ranged(request, &served, "\"v1\"");
        if n == 0 { reply.hang(30_000) } else { reply }
    })
    .await;
    let place = Place::new();
    place.cache.fetch(&source(&server.url, None), &place.dest("a"), true, &quiet).await.expect("fetched");
    assert_eq!(read(&place.dest("a")), body);
    assert_eq!(server.requests()[1].range(), Some(30_000));

    let server = Server::start(|_, _| Reply::ok(b"body").hang(0)).await;
    let began = Instant::now();
    let error =
        place.cache.fetch(&source(&server.url, None), &place.dest("b"), true, &quiet).await.expect_err("nothing comes");
    assert_eq!(error.to_string(), format!("cannot download {}: no data for 0.3 s", server.url));
    assert_eq!(server.requests().len(), 3);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_wrong_digest_is_tried_once_more_and_then_told() {
    let (good, bad) = (noise(50_000), noise(50_001)[1..].to_vec());
    let served = bad.clone();
    let server = Server::start(move |_, _| Reply::ok(&served)).await;
    let place = Place::new();
    let file = source(&server.url, Some(digest(&good)));
    let error = place.cache.fetch(&file, &place.dest("a"), true, &quiet).await.expect_err("it is another file");
    assert_eq!(
        error.to_string(),
        format!("digest mismatch of {}: expected {}, got {}", server.url, digest(&good), digest(&bad))
    );
    assert_eq!(server.requests().len(), 2);
    assert_eq!(entry(&place.cache, &server.url), ["url"]);
    assert!(!place.dest("a").exists());

    // A server that has it right the second time, as after an update on its side.
    let (first, second) = (bad.clone(), good.clone());
    let server = Server::start(move |_, n| Reply::ok(if n == 0 { &first } else { &second })).await;
    let file = source(&server.url, Some(digest(&good)));
    place.cache.fetch(&file, &place.dest("b"), true, &quiet).await.expect("fetched");
    assert_eq!(read(&place.dest("b")), good);
}

#[tokio::test]
async fn a_damaged_or_outdated_cache_is_replaced() {
    let body = noise(50_000);
    let served = body.clone();
    let server = Server::start(move |_, _| Reply::ok(&served)).await;
    let place = Place::new();
    let file = source(&server.url, Some(digest(&body)));
    place.cache.fetch(&file, &place.dest("a"), true, &quiet).await.expect("fetched");
    let data = place.cache.data_path(&server.url);
    let mut damaged = body.clone();
    damaged[7] ^= 1;
    std::fs::write(&data, damaged).expect("written");
    // A process that has not looked at it yet sees it, whatever the text beside it says.
    place.again().fetch(&file, &place.dest("b"), true, &quiet).await.expect("fetched");
    assert_eq!(read(&place.dest("b")), body);
    assert_eq!(server.count("GET"), 2);

    // While what cannot be replaced stays, for templates that mean it.
    let other = source(&server.url, Some(digest(b"other")));
    place.cache.fetch(&other, &place.dest("c"), true, &quiet).await.expect_err("the server has no such file");
    assert_eq!(read(&data), body);
}

#[tokio::test]
async fn without_a_digest_the_date_decides() {
    let date = Arc::new(Mutex::new("Mon, 23 Nov 2026 04:00:00 GMT".to_owned()));
    let served = Arc::clone(&date);
    let server = Server::start(move |_, n| {
        let date = served.lock().expect("not poisoned").clone();
        match date.as_str() {
            "offline" => Reply::status("503 Service Unavailable"),
            _ => Reply::ok(format!("body {n}").as_bytes()).with(&format!("last-modified: {date}")),
        }
    })
    .await;
    let place = Place::new();
    let file = source(&server.url, None);
    for (n, (new_date, expected)) in [
        (None, "body 0"),
        (None, "body 0"),
        (Some("Tue, 24 Nov 2026 04:00:00 GMT"), "body 3"),
        (Some("offline"), "body 3"),
    ]
    .into_iter()
    .enumerate()
    {
        if let Some(new) = new_date {
            *date.lock().expect("not poisoned") = new.to_owned();
        }
        let dest = place.dest(&n.to_string());
        place.cache.fetch(&file, &dest, true, &quiet).await.expect("fetched");
        assert_eq!(String::from_utf8(read(&dest)).expect("utf-8"), expected, "step {n}");
    }
}

#[tokio::test]
async fn refusals_are_told_at_once_and_outages_after_a_while() {
    let place = Place::new();
    for (status, requests) in
        [("404 Not Found", 1), ("403 Forbidden", 1), ("502 Bad Gateway", 3), ("429 Too Many Requests", 3)]
    {
        let server = Server::start(move |_, _| Reply::status(status)).await;
        let result = place.cache.fetch(&source(&server.url, None), &place.dest("a"), true, &quiet).await;
        let expected = format!("cannot download {}: the server answered {status}", server.url);
        assert_eq!(result.expect_err("refused").to_string(), expected);
        assert_eq!(server.requests().len(), requests, "{status}");
    }
    let gone = {
        let server = Server::start(|_, _| Reply::ok(b"")).await;
        server.url.clone()
    };
    let error = place.cache.fetch(&source(&gone, None), &place.dest("a"), true, &quiet).await.expect_err("no server");
    assert!(chain(&error).contains("onnection refused"), "{}", chain(&error));
}

#[tokio::test]
async fn two_fetches_of_one_url_do_the_work_once() {
    let body = noise(400_000);
    let served = body.clone();
    let server = Server::start(move |_, _| Reply::ok(&served).with("last-modified: x")).await;
    let place = Place::new();
    let other = place.again();
    let file = source(&server.url, Some(digest(&body)));
    let (a, b) = (place.dest("a"), place.dest("b"));
    let (first, second) =
        tokio::join!(place.cache.fetch(&file, &a, true, &quiet), other.fetch(&file, &b, true, &quiet));
    first.expect("fetched");
    second.expect("fetched");
    assert_eq!((read(&a), read(&b)), (body.clone(), body));
    assert_eq!(server.count("GET"), 1);
}

#[tokio::test]
async fn a_dropped_fetch_leaves_nothing_that_looks_complete() {
    let body = noise(300_000);
    let served = body.clone();
    let server = Server::start(move |request, n| {
        let reply = Reply::ranged(request, &served, "\"v1\"");
        if n == 0 { reply.hang(100_000) } else { reply }
    })
    .await;
    let place = Place::new();
    let file = source(&server.url, Some(digest(&body)));
    let (arrived, mut has_arrived) = tokio::sync::watch::channel(0);
    let log = move |p: Progress| arrived.send(p.done).unwrap_or_default();
    {
        let dest = place.dest("a");
        let fetch = place.cache.fetch(&file, &dest, true, &log);
        tokio::select! {
            result = fetch => panic!("the server hangs, but {result:?}"),
            // Reports are rare, so the first one that counts is enough.
            _ = has_arrived.wait_for(|done| *done > 0) => {}
            () = tokio::time::sleep(Duration::from_millis(150)) => {}
        }
    }
    assert!(!place.dest("a").exists() && !place.cache.data_path(&server.url).exists());
    place.cache.fetch(&file, &place.dest("a"), true, &quiet).await.expect("the lock is free");
    assert_eq!(read(&place.dest("a")), body);
    let leftovers: Vec<_> =
        std::fs::read_dir(place.directory.path()).expect("listed").flatten().map(|e| e.file_name()).collect();
    assert_eq!(leftovers.len(), 2, "{leftovers:?}");
}

async fn compress(name: &str, bytes: &[u8]) -> Vec<u8> {
    use async_compression::tokio::write::{BzEncoder, GzipEncoder, XzEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt;
    macro_rules! with {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(bytes).await.expect("compressed");
            encoder.shutdown().await.expect("compressed");
            encoder.into_inner()
        }};
    }
    match name {
        "gz" => with!(GzipEncoder),
        "bz2" => with!(BzEncoder),
        "xz" => with!(XzEncoder),
        _ => with!(ZstdEncoder),
    }
}

#[tokio::test]
async fn compressed_files_by_name_or_by_content() {
    let place = Place::new();
    // With a hole, which the copy should have, too.
    let body = [noise(100_000), vec![0; 4 << 20], b"end".to_vec()].concat();
    for extension in ["gz", "bz2", "xz", "zst"] {
        let packed = compress(extension, &body).await;
        let twice = [packed.clone(), compress(extension, b"more").await].concat();
        for (name, bytes, expected) in [
            (format!("image.{extension}"), &packed, body.clone()),
            (format!("{extension}-without-a-name"), &packed, body.clone()),
            (format!("two.{extension}"), &twice, [&body[..], b"more"].concat()),
        ] {
            let from = place.dest(&name);
            std::fs::write(&from, bytes).expect("written");
            let dest = place.dest(&format!("{name}.out"));
            let file = source(from.to_string_lossy(), Some(digest(bytes)));
            place.cache.fetch(&file, &dest, true, &quiet).await.expect("unpacked");
            assert!(read(&dest) == expected, "{name}");
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt;
                assert!(std::fs::metadata(&dest).expect("metadata").blocks() * 512 < 1 << 20, "{name} has a hole");
            }
            let packed_dest = place.dest(&format!("{name}.packed"));
            place.cache.fetch(&file, &packed_dest, false, &quiet).await.expect("copied");
            assert!(read(&packed_dest) == *bytes, "{name} as it is");
        }
        let cut = place.dest(&format!("cut.{extension}"));
        std::fs::write(&cut, &packed[..packed.len() / 2]).expect("written");
        let dest = place.dest("never");
        let result = place.cache.fetch(&source(cut.to_string_lossy(), None), &dest, true, &quiet).await;
        let error = result.expect_err("it is cut off").to_string();
        assert!(error.starts_with("cannot decompress /") && !dest.exists(), "{error}");
    }
    let liar = place.dest("plain.xz");
    std::fs::write(&liar, "plain").expect("written");
    let result = place.cache.fetch(&source(liar.to_string_lossy(), None), &place.dest("never"), true, &quiet).await;
    assert!(result.expect_err("no xz").to_string().ends_with("plain.xz (xz)"));
}

#[tokio::test]
async fn local_files() {
    let place = Place::new();
    let from = place.dest("with space");
    std::fs::write(&from, "body").expect("written");
    let path = from.to_str().expect("utf-8").to_owned();
    let url = format!("file://{}", path.replace(' ', "%20"));
    for (n, location) in [path.clone(), url].into_iter().enumerate() {
        let dest = place.dest(&n.to_string());
        let good = source(&location, Some(digest(b"body")));
        place.cache.fetch(&good, &dest, true, &quiet).await.expect("copied");
        assert_eq!(read(&dest), b"body");
        let bad = source(&location, Some(digest(b"other")));
        let error = place.cache.fetch(&bad, &place.dest("never"), true, &quiet).await.expect_err("another file");
        assert!(error.to_string().starts_with(&format!("digest mismatch of {location}: expected sha256:")), "{error}");
    }
    for (location, expected) in [
        ("/not/there", "cannot open /not/there: No such file or directory (os error 2)"),
        ("ftp://x/y", "cannot fetch ftp://x/y: only http, https, file and absolute paths are known"),
        ("relative", "cannot fetch relative: only http, https, file and absolute paths are known"),
    ] {
        let result = place.cache.fetch(&source(location, None), &place.dest("never"), true, &quiet).await;
        assert_eq!(chain(&result.expect_err("refused")), expected);
    }
    let result = place.cache.fetch(&source(&path, Some("md5:12".into())), &place.dest("never"), true, &quiet).await;
    assert_eq!(result.expect_err("refused").to_string(), format!("invalid digest \"md5:12\" of {path}"));
    assert!(!place.dest("never").exists());
    assert!(!place.directory.path().join("download").exists(), "local files need no cache");
}
