//! Linux: pages of the program file are mapped as they are used, sixteen at a time, and stay.

#![expect(unsafe_code, reason = "pages are given back by their addresses")]

use std::io;
use std::path::Path;

use rustix::mm::{Advice, madvise};

/// Gives the pages of our own code back, most of which only a start needs. What is called again is mapped again from
/// the page cache, at the cost of a minor fault.
///
/// For a process that has started and will mostly wait: its resident memory is then what it uses.
pub fn release_code() -> io::Result<()> {
    let program = std::fs::read_link("/proc/self/exe")?;
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let Some((start, length)) = code_of(line, &program) else { continue };
        // SAFETY: a private mapping that was never writable holds nothing but what is in its file, so dropping its pages
        // loses nothing: the next use reads them again, as after the kernel itself has dropped them for want of memory.
        unsafe { madvise(std::ptr::with_exposed_provenance_mut(start), length, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// Returns where a line of proc_pid_maps(5) maps code of the program.
fn code_of(line: &str, program: &Path) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    // Only what was never writable: the relocated data beside it is read-only, too, by now, and not what the file says.
    if permissions != "r-xp" || words.nth(3).map(Path::new) != Some(program) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_given_back() {
        let check = |line: &str, expect: Option<(usize, usize)>| {
            assert_eq!(code_of(line, Path::new("/usr/bin/rdd")), expect, "{line}");
        };
        check("00401000-00403000 r-xp 00001000 fe:00 11 /usr/bin/rdd", Some((0x40_1000, 0x2000)));
        check("00400000-00401000 r--p 00000000 fe:00 11 /usr/bin/rdd", None);
        check("00403000-00404000 rw-p 00003000 fe:00 11 /usr/bin/rdd", None);
        check("00401000-00403000 rwxp 00001000 fe:00 11 /usr/bin/rdd", None);
        check("7f0000000000-7f0000002000 r-xp 00001000 fe:00 12 /usr/lib/libc.so.6", None);
        check("7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]", None);
        check("nonsense", None);
    }

    #[test]
    fn the_program_goes_on_without_its_pages() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/status").expect("read");
            let line = text.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("told").trim().to_owned();
            line.trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let before = resident();
        release_code().expect("given back");
        assert!(resident() < before, "{before} kB before");
    }
}
