//! As much of a test harness as is needed: a filter, `--list`, a few threads, and a verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// A name and what is run.
pub(crate) type Test = (&'static str, fn());

/// Most tests wait for processes; more at once than this fight for the processor.
const THREADS: usize = 4;

pub(crate) fn run(tests: &[Test]) -> i32 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let exact = arguments.iter().any(|a| a == "--exact");
    let matches = |name: &str| {
        filters.is_empty() || filters.iter().any(|f| if exact { name == f.as_str() } else { name.contains(f.as_str()) })
    };
    let chosen: Vec<Test> = tests.iter().copied().filter(|(name, _)| matches(name)).collect();
    if arguments.iter().any(|a| a == "--list") {
        for (name, _) in chosen {
            println!("{name}: test");
        }
        return 0;
    }
    println!("\nrunning {} tests", chosen.len());
    let queue = Mutex::new(chosen.iter());
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some((name, test)) = queue.lock().expect("nothing panics while it is locked").next() else {
                        return;
                    };
                    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
                    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
                    if !passed {
                        *failed.lock().expect("nothing panics while it is locked") += 1;
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("nothing panics while it is locked");
    println!("\ntest result: {}. {failed} failed\n", if failed == 0 { "ok" } else { "FAILED" });
    i32::from(failed != 0)
}
