//! Floor 30: what waits and what watches, against a server that changes meanwhile.

#![expect(dead_code, reason = "each test binary uses its part of the support")]

mod support;

use std::sync::Arc;

use support::{Answer, Live, Row, Verdict, run_ours, spawn_ours};

fn ours(live: &Live, line: &str) -> Answer {
    let args = line.split(' ').map(str::to_owned).collect();
    run_ours(live, &Row { args, input: String::new(), editor: "true", verdict: Verdict::Same })
}

fn live() -> (tokio::runtime::Runtime, Arc<Live>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let live = Arc::new(runtime.block_on(Live::start()));
    (runtime, live)
}

/// Runs a waiting command in a thread, changes something meanwhile, and returns how the command ended.
fn meanwhile(live: &Arc<Live>, waiting: &str, change: &[&str]) -> Answer {
    let (server, line) = (live.clone(), waiting.to_owned());
    let thread = std::thread::spawn(move || ours(&server, &line));
    for line in change {
        let answer = ours(live, line);
        assert_eq!(answer.code, 0, "{line}: {answer:?}");
    }
    thread.join().expect("no panic")
}

fn stop(runtime: &tokio::runtime::Runtime, live: Arc<Live>) {
    runtime.block_on(Arc::into_inner(live).expect("all threads have ended").stop());
}

#[test]
fn waits_end_when_it_holds() {
    let (runtime, live) = live();
    let met = |answer: Answer, expect: &str| assert_eq!((answer.code, answer.out.as_str()), (0, expect), "{answer:?}");
    let status = |text: &str| format!("patch wd w1 --type=merge --subresource=status -p {text}");

    met(
        meanwhile(&live, "wait --for=create wd/w1 --timeout=30s", &["apply -f @two.yaml"]),
        "widget.example.com/w1 condition met\n",
    );
    let ready = status(r#"{"status":{"phase":"Up","conditions":[{"type":"Ready","status":"True"}]}}"#);
    met(
        meanwhile(&live, "wait --for=condition=Ready wd/w1 --timeout=30s", &["label wd w1 a=b", &ready]),
        "widget.example.com/w1 condition met\n",
    );
    let down = status(r#"{"status":{"phase":"Down"}}"#);
    met(
        meanwhile(&live, "wait --for=jsonpath={.status.phase}=Down wd/w1 --timeout=30s", &[&down]),
        "widget.example.com/w1 condition met\n",
    );
    met(meanwhile(&live, "wait-condition widgets.example.com/w1 Ready --timeout=30s", &["label wd w1 c=d"]), "");
    let late = ours(&live, "wait-condition wd/nosuch Ready --timeout=100ms");
    assert_eq!((late.code, late.err.as_str()), (1, "error: timed out waiting for the condition\n"));

    // Held by a finalizer, a delete waits; the waits for its end and the delete itself end together.
    let hold = r#"patch wd w1 --type=merge -p {"metadata":{"finalizers":["example.com/hold"]}}"#;
    assert_eq!(ours(&live, hold).code, 0);
    let late = ours(&live, "delete wd w1 --timeout=100ms");
    assert_eq!(late.out, "widget.example.com \"w1\" deleted from default namespace\n");
    assert_eq!((late.code, late.err.as_str()), (1, "error: timed out waiting for the condition on widgets/w1\n"));
    let release = r#"patch wd w1 --type=merge -p {"metadata":{"finalizers":null}}"#;
    let gone = meanwhile(&live, "wait --for=delete wd/w1 --timeout=30s", &[release]);
    // Nothing is printed if the object was gone before the wait looked.
    let told = gone.out.is_empty() || gone.out == "widget.example.com/w1 condition met\n";
    assert!(gone.code == 0 && told, "{gone:?}");
    stop(&runtime, live);
}

#[test]
fn the_end_of_the_object_ends_a_wait_for_its_condition() {
    let (runtime, live) = live();
    let server = live.clone();
    let thread = std::thread::spawn(move || ours(&server, "wait-condition wd/w1 Never --timeout=60s"));
    // An object that is not there is waited for, so it comes and goes until the wait has seen both.
    while !thread.is_finished() {
        assert_eq!(ours(&live, "apply -f @two.yaml").code, 0);
        assert_eq!(ours(&live, "delete wd w1").code, 0);
    }
    let gone = thread.join().expect("no panic");
    assert_eq!((gone.code, gone.err.as_str()), (1, "error: resource was deleted while waiting\n"));
    stop(&runtime, live);
}

#[test]
fn a_watch_shows_what_happens_until_the_server_ends_it() {
    let (runtime, live) = live();
    assert_eq!(ours(&live, "apply -f @cm.yaml").code, 0);
    let (lines, thread) = spawn_ours(&live, "get cm -w --output-watch-events --show-labels");
    let next = || lines.recv_timeout(support::PATIENCE).expect("a line");
    assert!(next().starts_with("EVENT   NAME   DATA   AGE"), "the headers and what is there come at once");
    assert_eq!(ours(&live, "label cm c1 a=b").code, 0);
    let line = next();
    assert!(line.starts_with("MODIFIED   c1     1") && line.ends_with("a=b\n"), "{line}");
    assert_eq!(ours(&live, "delete cm c1").code, 0);
    assert!(next().starts_with("DELETED    c1     1"), "the columns stay where they are");
    live.end_listener();
    assert_eq!(thread.join().expect("no panic"), 0, "the end of a watch is no failure");
    stop(&runtime, live);
}
