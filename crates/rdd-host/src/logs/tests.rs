use super::*;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn rotation_keeps_five() {
    let directory = tempfile::tempdir().expect("a directory");
    for run in 0..8 {
        let mut file = open_rotated(directory.path(), "rdd.stderr", false, None).expect("opened");
        write!(file, "run {run}").expect("written");
    }
    assert_eq!(
        names(directory.path()),
        [
            "rdd.stderr.3.log",
            "rdd.stderr.4.log",
            "rdd.stderr.5.log",
            "rdd.stderr.6.log",
            "rdd.stderr.7.log",
            "rdd.stderr.log"
        ]
    );
    assert_eq!(fs::read(directory.path().join("rdd.stderr.7.log")).expect("read"), b"run 6");
    assert_eq!(fs::read(directory.path().join("rdd.stderr.log")).expect("read"), b"run 7");
}

#[test]
fn all_logs_can_be_kept_and_others_are_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["ha.01.log", "ha.x.log", "other.9.log", "ha.log.txt"] {
        fs::write(directory.path().join(name), "").expect("written");
    }
    for _ in 0..8 {
        open_rotated(directory.path(), "ha", true, None).expect("opened");
    }
    assert_eq!(names(directory.path()).len(), 4 + 8);
}

#[test]
fn headers() {
    let directory = tempfile::tempdir().expect("a directory");
    open_rotated(directory.path(), "text", false, Some(&text_header("a test"))).expect("opened");
    open_rotated(directory.path(), "json", false, Some(&json_header("a \"test\""))).expect("opened");
    assert_eq!(fs::read_to_string(path(directory.path(), "text")).expect("read"), "=== a test ===\n");
    assert_eq!(fs::read_to_string(path(directory.path(), "json")).expect("read"), "{\"title\":\"a \\\"test\\\"\"}\n");
}

#[test]
fn logs_are_preserved_beside_earlier_ones() {
    let home = tempfile::tempdir().expect("a directory");
    let (vm, kept) = (home.path().join("vm"), home.path().join("kept"));
    for round in ["demo", "demo.2", "demo.3"] {
        fs::create_dir_all(vm.join("dir.log")).expect("a directory, which is no log");
        fs::write(vm.join("serial.log"), round).expect("written");
        fs::write(vm.join("disk"), "").expect("written");
        assert_eq!(preserve(&vm, &kept, "demo").expect("preserved"), Some(kept.join(round)));
        assert_eq!(names(&kept.join(round)), ["serial.log"]);
    }
    assert_eq!(preserve(&vm, &kept, "demo").expect("nothing to do"), None);
    assert_eq!(names(&kept), ["demo", "demo.2", "demo.3"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn following_survives_rotation() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("logs");
    let mut follower = Follower::open(&path(&directory, "rdd")).expect("opened before the log exists");
    assert!(follower.read_available().expect("read").is_empty());

    let writer = tokio::task::spawn_blocking(move || {
        for run in 0..20 {
            let mut file = open_rotated(&directory, "rdd", true, None).expect("opened");
            for line in 0..50 {
                writeln!(file, "{run}.{line}").expect("written");
            }
        }
        // A follower that was late by a whole run has missed that run; the last one is always seen.
    });
    let mut seen = Vec::new();
    let last_line_is_seen = async {
        while !seen.ends_with(b"19.49\n") {
            seen.extend(follower.next().await.expect("read"));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), last_line_is_seen).await.expect("the last line is seen");
    writer.await.expect("written");
    let text = String::from_utf8(seen).expect("text");
    assert!(text.lines().all(|line| line.contains('.')), "no line is torn: {text}");
}
