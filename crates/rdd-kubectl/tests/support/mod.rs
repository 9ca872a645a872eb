//! A live server with files to apply, our kubectl in this process, and the table of invocations.

pub(crate) mod table;

use std::cell::RefCell;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use rdd_apiserver::{ApiServer, UserInfo};
use regex::Regex;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "test-token";
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How two answers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Standard output, standard error and exit code.
    Same,
    /// Standard output and exit code; why the rest differs.
    SameOut(&'static str),
    /// Nothing; why.
    Ours(&'static str),
    /// The exit code; why the rest may differ.
    SameCode(&'static str),
}

/// One invocation.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `@name` is the path of a file of the test, `@.` of its directory.
    pub(crate) args: Vec<String>,
    pub(crate) input: String,
    pub(crate) editor: &'static str,
    pub(crate) verdict: Verdict,
}

/// What an invocation left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

/// A server with a TLS listener, a kubeconfig and files.
pub(crate) struct Live {
    server: ApiServer,
    dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Live {
    /// Starts a server and serves it.
    pub(crate) async fn start() -> Self {
        let definition = rdd_schema::yaml::parse(table::WIDGETS).expect("a definition");
        let admin = UserInfo::system_masters("system-admin");
        let server =
            ApiServer::builder().token(TOKEN, admin).definition(definition).start().await.expect("the server starts");
        let dir = tempfile::tempdir().expect("a directory");
        let certificate =
            rdd_auth::certificates::load_or_make(&dir.path().join("tls"), SystemTime::now()).expect("certificates");
        let tls = rdd_auth::tls::server_config(&certificate).expect("a TLS configuration");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let ca = base64::engine::general_purpose::STANDARD.encode(&certificate.pem);
        let kubeconfig = format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: \
             https://127.0.0.1:{port}\n  name: root\ncontexts:\n- context:\n    cluster: root\n    user: admin\n  \
             name: root\n- context:\n    cluster: root\n    namespace: other\n    user: admin\n  name: second\n\
             current-context: root\nkind: Config\npreferences: {{}}\nusers:\n- name: admin\n  user:\n    token: {TOKEN}\n"
        );
        std::fs::write(dir.path().join("config"), kubeconfig).expect("a kubeconfig");
        for (name, text) in table::FILES {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        let shutdown = CancellationToken::new();
        let (serve, stop) = (server.clone(), shutdown.clone());
        let serving = tokio::spawn(async move { serve.serve_tls(listener, tls, stop).await.expect("serves") });
        Self { server, dir, serving, shutdown }
    }

    /// Stops listener and server.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.expect("the listener ends").expect("no panic");
        tokio::time::timeout(PATIENCE, self.server.shutdown()).await.expect("the server ends");
    }

    /// Ends the listener with its watches.
    pub(crate) fn end_listener(&self) {
        self.shutdown.cancel();
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path().join("config")
    }

    /// Returns a row's arguments with the paths of this server's files.
    pub(crate) fn args(&self, row: &Row) -> Vec<String> {
        let dir = self.path().display().to_string();
        row.args.iter().map(|a| a.replace('@', &format!("{dir}/"))).collect()
    }
}

#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hands on each write.
struct Channel(std::sync::mpsc::Sender<String>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs our kubectl in a thread; its data arrives in pieces.
pub(crate) fn spawn_ours(live: &Live, line: &str) -> (std::sync::mpsc::Receiver<String>, std::thread::JoinHandle<i32>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let args = line.split(' ').map(Into::into).collect();
    let kubeconfig = live.kubeconfig();
    let thread = std::thread::spawn(move || {
        let out = Box::new(Channel(sender));
        let console = rdd_kubectl::Console::new(out, Box::new(std::io::sink()), Box::new(std::io::empty()));
        rdd_kubectl::run_on(console, args, &kubeconfig)
    });
    (receiver, thread)
}

/// Runs our kubectl in this process.
pub(crate) fn run_ours(live: &Live, row: &Row) -> Answer {
    let (out, err) = (Buffer::default(), Buffer::default());
    let input = Cursor::new(row.input.clone().into_bytes());
    let console = rdd_kubectl::Console::new(Box::new(out.clone()), Box::new(err.clone()), Box::new(input));
    let console = console.with_editor(row.editor);
    let args = live.args(row).into_iter().map(Into::into).collect();
    let code = rdd_kubectl::run_on(console, args, &live.kubeconfig());
    let text =
        |buffer: Buffer| String::from_utf8_lossy(&buffer.0.borrow()).replace(&live.path().display().to_string(), "DIR");
    Answer { out: text(out), err: text(err), code }
}

/// Returns the revision of a server's store.
pub(crate) fn revision(live: &Live) -> u64 {
    let args = ["get", "--raw", "/api/v1/namespaces/none/configmaps"].map(str::to_owned).to_vec();
    let list = run_ours(live, &Row { args, input: String::new(), editor: "true", verdict: Verdict::Same });
    let list = rdd_schema::yaml::parse(&list.out).expect("a list");
    list["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).expect("a revision")
}

/// Names alike what cannot be the same.
pub(crate) fn normalize(answer: &Answer) -> Answer {
    let rules = [
        (r"(?:/[\w.-]+)*/\.tmp\w+", "DIR"),
        (r"127\.0\.0\.1:\d+", "SERVER"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
        (r"(?m)( +)(?:\d+m\d+s|\d+[ms])$", " AGE"),
        (r"(?m) {2,}(?:\d+m\d+s|\d+[ms])( {2,})", " AGE "),
        (r"certificate-authority-data: \S+", "CA"),
        (r#""certificate-authority-data": "\S+""#, "CA"),
        (r#"resourceVersion"?: "\d+""#, "VERSION"),
        (r"edit-\S+\.yaml", "EDITED"),
        (r"\b(?:\d+m\d+s|\d+s)\b", "SPAN"),
    ];
    let clean = |text: &str| {
        let mut text = text.to_owned();
        for (pattern, name) in rules {
            text = Regex::new(pattern).expect(pattern).replace_all(&text, name).into_owned();
        }
        text
    };
    Answer { out: clean(&answer.out), err: clean(&answer.err), code: answer.code }
}
