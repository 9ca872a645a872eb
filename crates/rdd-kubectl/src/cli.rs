//! From arguments to an exit code.

use std::ffi::OsString;
use std::path::Path;
use std::rc::Rc;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::console::Console;
use crate::context::Context;
use crate::failure::{Failure, installed};
use crate::flags::GlobalArgs;
use crate::usage;

/// Controls a control plane the way kubectl does.
#[derive(Debug, Parser)]
#[command(name = "kubectl", bin_name = "kubectl", disable_version_flag = true, infer_long_args = false)]
struct Kubectl {
    #[command(flatten)]
    flags: GlobalArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Runs kubectl's arguments (without the program's name) against the server of a kubeconfig, on
/// this process's terminal, and returns the exit code.
pub fn run(args: Vec<OsString>, kubeconfig: &Path) -> i32 {
    run_on(Console::of_process(), args, kubeconfig)
}

/// As [`run`], on another console.
pub fn run_on(console: Console, args: Vec<OsString>, kubeconfig: &Path) -> i32 {
    let console = Rc::new(console);
    let outcome = work(&console, args, kubeconfig);
    let Err(failure) = outcome else { return 0 };
    console.say(&failure.render());
    failure.code()
}

fn work(console: &Rc<Console>, args: Vec<OsString>, kubeconfig: &Path) -> Result<(), Failure> {
    let kubeconfig = usage::kubeconfig(&args).unwrap_or_else(|| kubeconfig.to_owned());
    let mut tree = Kubectl::command().after_help(format!(
        "Use \"kubectl <command> --help\" for more about a command.\n\
         An installed kubectl knows still more commands: {}",
        installed(&kubeconfig)
    ));
    tree.build();
    let args = usage::normalize(&tree, args);
    let parsed = tree.clone().try_get_matches_from(&args).and_then(|matches| Kubectl::from_arg_matches(&matches));
    let kubectl = match parsed {
        Ok(kubectl) => kubectl,
        Err(error) => return usage::refuse(console, &tree, &args, &error).map_err(|f| f.located(&kubeconfig)),
    };
    let Some(command) = kubectl.command else {
        return console.out(&tree.render_long_help().to_string());
    };
    let warnings_are_errors = kubectl.flags.warnings_as_errors;
    let context = Context::new(console.clone(), kubectl.flags, &kubeconfig);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::message(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(command.run(&context)).map_err(|failure| failure.located(context.kubeconfig()))?;
    match console.warnings() {
        count if count > 0 && warnings_are_errors => {
            let plural = if count == 1 { "" } else { "s" };
            Err(Failure::message(format!("{count} warning{plural} received")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Kubectl::command().debug_assert();
    }

    #[derive(Clone, Default)]
    struct Buffer(Rc<std::cell::RefCell<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Runs words that need no server. Returns the exit code, standard output and standard error.
    fn run_words(words: &str, kubeconfig: &str) -> (i32, String, String) {
        let (out, err) = (Buffer::default(), Buffer::default());
        let console = Console::new(Box::new(out.clone()), Box::new(err.clone()), Box::new(std::io::empty()));
        let args = words.split_whitespace().map(OsString::from).collect();
        let code = run_on(console, args, Path::new(kubeconfig));
        let text = |buffer: Buffer| String::from_utf8(buffer.0.borrow().clone()).expect("text");
        (code, text(out), text(err))
    }

    #[test]
    fn help_is_a_command() {
        for (words, same) in
            [("help", "--help"), ("help get", "get --help"), ("help config view", "config view --help")]
        {
            let (code, help, err) = run_words(words, "/c");
            assert_eq!((code, err.as_str()), (0, ""), "{words}");
            assert_eq!(help, run_words(same, "/c").1, "{words}");
        }
        assert_eq!(run_words("help nonsense", "/c").0, 1);
    }

    /// Who follows a hint must not end up on the cluster that his own configuration names.
    #[test]
    fn hints_to_an_installed_kubectl_name_the_kubeconfig() {
        for (words, rest) in [
            ("diff -f x", "it is in an installed kubectl: kubectl --kubeconfig /o/c.yaml diff …"),
            ("logs x", "it is in an installed kubectl: kubectl --kubeconfig /o/c.yaml logs …"),
            ("apply -f x --prune", "use an installed kubectl: kubectl --kubeconfig /o/c.yaml apply …"),
            (
                "api-resources -o json",
                "use -o wide, or an installed kubectl: kubectl --kubeconfig /o/c.yaml api-resources -o json",
            ),
            (
                "get cm -o go-template=x",
                "use -o jsonpath=…, or an installed kubectl: kubectl --kubeconfig /o/c.yaml … -o go-template",
            ),
            ("--kubeconfig=/its/own diff", "it is in an installed kubectl: kubectl --kubeconfig /its/own diff …"),
            ("diff --kubeconfig /its/own", "it is in an installed kubectl: kubectl --kubeconfig /its/own diff …"),
        ] {
            let (code, out, err) = run_words(words, "/o/c.yaml");
            assert_eq!((code, out.as_str()), (1, ""), "{words}");
            assert!(err.ends_with(&format!("\nhint: {rest}\n")), "{words}: {err}");
        }
        let (_, help, _) = run_words("", "/o/a b's.yaml");
        assert!(help.contains(r"kubectl --kubeconfig '/o/a b'\''s.yaml'"), "{help}");
        assert!(!help.contains("rdd kubectl"), "{help}");
    }
}
