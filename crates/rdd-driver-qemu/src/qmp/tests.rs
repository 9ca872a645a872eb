use super::*;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// A scripted QEMU: for every connection a list of steps, `<` lines that it says and `>` commands
/// that it waits for.
fn script(path: &Path, connections: Vec<Vec<&'static str>>) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        for steps in connections {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut reader = BufReader::new(reader);
            for step in steps {
                match step.split_at(1) {
                    ("<", line) => writer.write_all(format!("{line}\r\n").as_bytes()).await.unwrap(),
                    (">", command) => {
                        let mut line = String::new();
                        reader.read_line(&mut line).await.unwrap();
                        let value: Value = serde_json::from_str(&line).unwrap();
                        assert_eq!(value["execute"], command, "{line}");
                    }
                    _ => unreachable!("{step}"),
                }
            }
        }
    })
}

const HELLO: &str =
    r#"<{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}"#;
const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn commands_events_and_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp.sock");
    let qemu = script(
        &path,
        vec![vec![
            HELLO,
            ">qmp_capabilities",
            r#"<{"return": {}, "id": 1}"#,
            ">query-status",
            r#"<{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}"#,
            r#"<{"return": {"status": "running"}, "id": 2}"#,
            ">nonsense",
            r#"<{"id": 3, "error": {"class": "CommandNotFound", "desc": "The command nonsense has not been found"}}"#,
            ">quit",
            r#"<{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}"#,
            r#"<{"return": {}, "id": 4}"#,
        ]],
    );
    let (qmp, process) = Qmp::connect(&path, LIMIT).await.unwrap();
    assert_eq!(process.pid(), std::process::id());
    let mut events = qmp.events();
    assert_eq!(qmp.execute("query-status", json!({})).await.unwrap()["status"], "running");
    assert_eq!(events.recv().await.unwrap().name, "RESUME");
    let error = qmp.execute("nonsense", json!({})).await.unwrap_err();
    assert!(matches!(&error, QmpError::Refused { class, .. } if class == "CommandNotFound"), "{error}");
    qmp.execute("quit", json!({})).await.unwrap();
    qmp.drained().await;
    assert_eq!(qmp.shutdown_reason().as_deref(), Some("host-qmp-quit"));
    qemu.await.unwrap();
}

#[tokio::test]
async fn answers_out_of_order_find_their_askers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp.sock");
    let qemu = script(
        &path,
        vec![vec![
            HELLO,
            ">qmp_capabilities",
            r#"<{"return": {}, "id": 1}"#,
            ">a",
            ">b",
            r#"<{"return": "to b", "id": 3}"#,
            r#"<{"return": "to a", "id": 2}"#,
        ]],
    );
    let (qmp, _) = Qmp::connect(&path, LIMIT).await.unwrap();
    let (a, b) = tokio::join!(qmp.execute("a", json!({})), qmp.execute("b", json!({})));
    assert_eq!((a.unwrap(), b.unwrap()), (json!("to a"), json!("to b")));
    qemu.await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp.sock");
    let qemu = script(
        &path,
        vec![
            vec![HELLO, ">qmp_capabilities", r#"<{"return": {}, "id": 1}"#],
            vec![HELLO, ">qmp_capabilities", r#"<{"return": {}, "id": 1}"#, ">stop", r#"<{"return": {}, "id": 2}"#],
        ],
    );
    let (qmp, _) = Qmp::connect(&path, LIMIT).await.unwrap();
    qmp.drained().await;
    qmp.execute("stop", json!({})).await.unwrap();
    qemu.await.unwrap();
}

#[tokio::test]
async fn an_end_in_the_middle_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp.sock");
    let qemu = script(&path, vec![vec![HELLO, ">qmp_capabilities", r#"<{"return": {}, "id": 1}"#, ">quit"]]);
    let (qmp, _) = Qmp::connect(&path, LIMIT).await.unwrap();
    assert!(matches!(qmp.execute("quit", json!({})).await, Err(QmpError::Closed)));
    qemu.await.unwrap();
}

#[tokio::test]
async fn strangers_and_silence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.sock");
    let other = script(&path, vec![vec!["<220 mail ready"]]);
    assert!(matches!(Qmp::connect(&path, LIMIT).await, Err(QmpError::Protocol(_))));
    other.await.unwrap();
    let path = dir.path().join("silent.sock");
    let _silent = UnixListener::bind(&path).unwrap();
    let limit = Duration::from_millis(50);
    assert!(matches!(Qmp::connect(&path, limit).await, Err(QmpError::TimedOut { .. })));
    let path = dir.path().join("none.sock");
    assert!(matches!(Qmp::connect(&path, LIMIT).await, Err(QmpError::Connect { .. })));
}
