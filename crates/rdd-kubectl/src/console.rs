//! The terminal as commands see it: the only way to print, replaceable in tests.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read, Write};

use crate::failure::Failure;

/// Where a command's data and messages go, and where its input comes from.
pub struct Console {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    input: RefCell<Box<dyn Read>>,
    /// Warnings of the server that were shown already.
    warned: RefCell<HashSet<String>>,
    /// The editor to run, instead of the environment's.
    editor: Option<String>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    /// Returns a console over these streams.
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>, input: Box<dyn Read>) -> Self {
        let warned = RefCell::default();
        Self { out: RefCell::new(out), err: RefCell::new(err), input: RefCell::new(input), warned, editor: None }
    }

    /// Runs this editor for `edit`, whatever the environment says.
    #[must_use]
    pub fn with_editor(mut self, command: &str) -> Self {
        self.editor = Some(command.to_owned());
        self
    }

    /// Returns the editor's command line.
    pub(crate) fn editor(&self) -> String {
        let of_environment = || {
            let set = ["KUBE_EDITOR", "EDITOR", "VISUAL"].into_iter().filter_map(|name| std::env::var(name).ok());
            set.into_iter().find(|command| !command.is_empty())
        };
        self.editor.clone().or_else(of_environment).unwrap_or_else(|| "vi".to_owned())
    }

    /// Returns the console of this process.
    pub fn of_process() -> Self {
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()), Box::new(io::stdin()))
    }

    /// Prints data.
    pub(crate) fn out(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.borrow_mut();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::message(format!("write to standard output: {error}")),
        })
    }

    /// Prints a line of data.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.out(&format!("{text}\n"))
    }

    /// Says something that is no data. Nobody to hear it is no failure.
    pub(crate) fn say(&self, text: &str) {
        let mut err = self.err.borrow_mut();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Shows a warning, each text once.
    pub(crate) fn warn(&self, text: &str) {
        if self.warned.borrow_mut().insert(text.to_owned()) {
            self.say(&format!("Warning: {text}\n"));
        }
    }

    /// Returns how many warnings were shown.
    pub(crate) fn warnings(&self) -> usize {
        self.warned.borrow().len()
    }

    /// Reads all of the input.
    pub(crate) fn read_input(&self) -> io::Result<String> {
        let mut text = String::new();
        self.input.borrow_mut().read_to_string(&mut text)?;
        Ok(text)
    }
}
