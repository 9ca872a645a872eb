//! The guest's shell: enough of one for readiness checks, for `limavm shell` and for tests.
//!
//! `sh -s await SECONDS TOKEN MARK...` is how the hostagent waits for the marks of the boot; here it is
//! known by its name. Commands are joined by `;`, `&&`, `||` and line ends; words may be quoted. A script on standard input
//! is run line by line; lines it does not know succeed, and `# fake: exit N` anywhere in it decides its
//! status.

use std::time::Duration;

use super::Guest;

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Result {
    pub(super) status: u32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Returns whether a command reads a script from its standard input.
pub(super) fn reads_script(command: &str) -> bool {
    let words = split(command);
    let Some(words) = interpreter(strip_sudo(&words)) else { return false };
    !words.iter().any(|word| word == "-c")
}

/// Runs a command line with its standard input.
pub(super) async fn run(guest: &Guest, command: &str, stdin: &str) -> Result {
    let mut total = Result::default();
    for (joint, part) in parts(command) {
        let skipped = match joint {
            Joint::Always => false,
            Joint::IfGood => total.status != 0,
            Joint::IfBad => total.status == 0,
        };
        if skipped {
            continue;
        }
        let words = split(&part);
        let last = words.first().is_some_and(|w| w == "exec" || w == "exit");
        let one = Box::pin(simple(guest, &words, stdin)).await;
        total.status = one.status;
        total.stdout += &one.stdout;
        total.stderr += &one.stderr;
        if last {
            break;
        }
    }
    total
}

async fn simple(guest: &Guest, words: &[String], stdin: &str) -> Result {
    let words = strip_sudo(words);
    let words = if words.first().is_some_and(|w| w == "exec") { strip_sudo(&words[1..]) } else { words };
    if let Some(arguments) = interpreter(words) {
        return interpret(guest, arguments, stdin).await;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["true" | "cd" | ":" | "export" | "set" | "sync", ..] => Result::default(),
        ["false"] => failed(1, ""),
        ["exit"] => Result::default(),
        ["exit", status] => failed(status.parse().unwrap_or(2), ""),
        ["echo", rest @ ..] => printed(&format!("{}\n", rest.join(" "))),
        ["hostname"] => printed(&format!("{}\n", guest.hostname)),
        ["uname", ..] => printed(&format!("Linux {} fake\n", guest.hostname)),
        ["whoami"] => printed("fake\n"),
        ["sleep", seconds] => {
            tokio::time::sleep(Duration::try_from_secs_f64(seconds.parse().unwrap_or(0.0)).unwrap_or_default()).await;
            Result::default()
        }
        ["cat"] => printed(stdin),
        ["cat", paths @ ..] => {
            let mut result = Result::default();
            for path in paths {
                match guest.file(path) {
                    Some(text) => result.stdout += &text,
                    None => {
                        result.status = 1;
                        result.stderr += &format!("cat: {path}: No such file or directory\n");
                    }
                }
            }
            result
        }
        ["poweroff" | "/sbin/poweroff", ..] | ["systemctl", "poweroff", ..] => {
            guest.power_off().await;
            Result::default()
        }
        [name, ..] => failed(127, &format!("sh: {name}: not found\n")),
    }
}

async fn interpret(guest: &Guest, arguments: &[String], stdin: &str) -> Result {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["-s", "await", seconds, token, marks @ ..] = words.as_slice() {
        let limit = Duration::try_from_secs_f64(seconds.parse().unwrap_or(0.0)).unwrap_or_default();
        for mark in marks {
            if !guest.await_file(mark, token, limit).await {
                return Result { status: 75, ..printed(&format!("{mark}\n")) };
            }
        }
        return printed(&guest.file("/run/lima-boot-failures").unwrap_or_default());
    }
    if let Some(position) = words.iter().position(|word| *word == "-c") {
        let command = words.get(position + 1).copied().unwrap_or_default();
        return Box::pin(run(guest, command, stdin)).await;
    }
    script(guest, stdin).await
}

async fn script(guest: &Guest, text: &str) -> Result {
    let mut total = Result::default();
    for line in text.lines().map(str::trim) {
        if let Some(directive) = line.strip_prefix("# fake: exit ") {
            total.status = directive.trim().parse().unwrap_or(2);
            return total;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let leaves = line == "exit" || line.starts_with("exit ");
        let one = Box::pin(run(guest, line, "")).await;
        total.stdout += &one.stdout;
        // What is beyond this shell is taken to work.
        total.status = if one.status == 127 { 0 } else { one.status };
        if leaves {
            break;
        }
    }
    total
}

fn strip_sudo(words: &[String]) -> &[String] {
    match words.first().map(String::as_str) {
        Some("sudo") => {
            let options = words[1..].iter().take_while(|word| word.starts_with('-')).count();
            &words[1 + options..]
        }
        _ => words,
    }
}

/// Returns the arguments of a shell or another interpreter.
fn interpreter(words: &[String]) -> Option<&[String]> {
    let (first, rest) = words.split_first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    match name {
        "sh" | "bash" | "dash" | "ash" | "$SHELL" | "python3" => Some(rest),
        "env" => {
            let variables = rest.iter().take_while(|word| word.contains('=')).count();
            interpreter(&rest[variables..])
        }
        _ => None,
    }
}

fn printed(text: &str) -> Result {
    Result { stdout: text.to_owned(), ..Result::default() }
}

fn failed(status: u32, message: &str) -> Result {
    Result { status, stderr: message.to_owned(), ..Result::default() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    Always,
    IfGood,
    IfBad,
}

/// Splits a command line at its joints, outside of quotes.
fn parts(command: &str) -> Vec<(Joint, String)> {
    let mut parts = Vec::new();
    let (mut joint, mut part, mut quote) = (Joint::Always, String::new(), None);
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        let next = match (quote, c) {
            (Some(open), _) => {
                if c == open {
                    quote = None;
                }
                None
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                None
            }
            (None, ';' | '\n') => Some(Joint::Always),
            (None, '&') if rest.next_if_eq(&'&').is_some() => Some(Joint::IfGood),
            (None, '|') if rest.next_if_eq(&'|').is_some() => Some(Joint::IfBad),
            _ => None,
        };
        match next {
            Some(next) => {
                parts.push((joint, std::mem::take(&mut part)));
                joint = next;
            }
            None => part.push(c),
        }
    }
    parts.push((joint, part));
    parts.retain(|(_, part)| !part.trim().is_empty());
    parts
}

/// Splits a simple command into words.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, _) = (None, None);
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(rest.next()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use std::path::Path;

    async fn check(command: &str, stdin: &str, status: u32, stdout: &str) {
        let scenario = Scenario { boot: Duration::ZERO, boot_done: Duration::ZERO, ..Scenario::default() };
        let guest = Guest::boot(scenario, "demo", Path::new("/nonexistent"));
        let result = run(&guest, command, stdin).await;
        assert_eq!((result.status, result.stdout.as_str()), (status, stdout), "{command}: {}", result.stderr);
    }

    #[tokio::test]
    async fn commands() {
        check("true", "", 0, "").await;
        check("echo a  'b  c'", "", 0, "a b  c\n").await;
        check("false || echo no; hostname", "", 0, "no\nlima-demo\n").await;
        check("false && echo no", "", 1, "").await;
        check("nonsense -x", "", 127, "").await;
        check("cd '/home/x' || cd; exec \"$SHELL\" --login -c 'echo hi; exit 3'", "", 3, "hi\n").await;
        check("cat", "from stdin", 0, "from stdin").await;
        check("sudo -n cat /run/lima-boot-failures", "", 0, "").await;
        check("cat /nowhere", "", 1, "").await;
    }

    #[tokio::test]
    async fn scripts() {
        assert!(reads_script("/bin/bash") && reads_script("sudo sh -s x") && reads_script("/usr/bin/env python3"));
        assert!(!reads_script("sh -c true") && !reads_script("cat"));
        check("/bin/bash", "#!/bin/bash\nset -eux\nif x; then\necho done\n", 0, "done\n").await;
        check("/bin/bash", "#!/bin/bash\n# fake: exit 4\necho no\n", 4, "").await;
        check("sh", "echo a\nexit 2\necho b\n", 2, "a\n").await;
        check("env PARAM_A='b c' /bin/bash", "echo done\n", 0, "done\n").await;
        check("sh -s await 1 - /etc/hostname /run/lima-boot-done", "anything", 0, "").await;
        check("sh -s await 0.01 other /run/lima-boot-done", "anything", 75, "/run/lima-boot-done\n").await;
    }
}
