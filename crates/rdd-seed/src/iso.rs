//! Writes an ISO 9660 image with Rock Ridge: the format in which guests expect their seed.
//!
//! Only what a read-only seed needs: directories and files owned by root, one time for all of them,
//! names up to [`NAME_LIMIT`] bytes. The plain ISO 9660 names are numbers; every guest that can use a
//! seed reads the Rock Ridge names.

use std::collections::BTreeMap;

use crate::seed::{Seed, SeedFile};

const SECTOR: usize = 2048;
/// The longest name of a file or directory; longer ones would need continuation entries.
const NAME_LIMIT: usize = 120;
/// The volume's label, by which cloud-init finds it.
const LABEL: &str = "cidata";

enum Node<'a> {
    Directory(BTreeMap<&'a str, Node<'a>>),
    File(&'a SeedFile),
}

/// A directory in the order of the path table: parents before children.
struct Directory<'a> {
    parent: usize,
    identifier: Vec<u8>,
    children: Vec<Child<'a>>,
    sector: usize,
    sectors: usize,
}

struct Child<'a> {
    name: &'a str,
    identifier: Vec<u8>,
    is: ChildIs<'a>,
}

enum ChildIs<'a> {
    Directory(usize),
    File { file: &'a SeedFile, sector: usize },
}

/// Returns the image of a seed, labelled `cidata`. Files are readable by root only.
///
/// # Assumptions
///
/// Names are those that [`crate::build`] makes: not longer than [`NAME_LIMIT`].
pub fn iso9660(seed: &Seed) -> Vec<u8> {
    let time = Time::new(seed.modified);
    let mut directories = directories(tree(seed));
    // 0-15 belong to the system; 16 and 17 are descriptors; then the path table in both byte orders.
    let path_table_size = path_table(&directories, u32::to_le_bytes, u16::to_le_bytes).len();
    let path_table_sectors = path_table_size.div_ceil(SECTOR);
    let mut next = 18 + 2 * path_table_sectors;
    for i in 0..directories.len() {
        directories[i].sectors = directory_sectors(&directories, i);
        directories[i].sector = next;
        next += directories[i].sectors;
    }
    let continuation = next;
    next += 1;
    for directory in &mut directories {
        for child in &mut directory.children {
            if let ChildIs::File { file, sector } = &mut child.is {
                *sector = next;
                next += file.contents.len().div_ceil(SECTOR);
            }
        }
    }

    let mut image = vec![0; next * SECTOR];
    put(&mut image, 16, &primary_descriptor(&directories[0], next, path_table_size, path_table_sectors, &time));
    put(&mut image, 17, b"\xffCD001\x01");
    put(&mut image, 18, &path_table(&directories, u32::to_le_bytes, u16::to_le_bytes));
    put(&mut image, 18 + path_table_sectors, &path_table(&directories, u32::to_be_bytes, u16::to_be_bytes));
    for (i, directory) in directories.iter().enumerate() {
        put(&mut image, directory.sector, &directory_extent(&directories, i, continuation, &time));
        for child in &directory.children {
            if let ChildIs::File { file, sector } = child.is {
                put(&mut image, sector, &file.contents);
            }
        }
    }
    put(&mut image, continuation, &extension_reference());
    image
}

fn put(image: &mut [u8], sector: usize, bytes: &[u8]) {
    image[sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
}

fn tree(seed: &Seed) -> BTreeMap<&str, Node<'_>> {
    let mut root = BTreeMap::new();
    for (path, file) in &seed.files {
        let mut directory = &mut root;
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default();
        for part in parts {
            assert!(part.len() <= NAME_LIMIT, "a seed's directory names are short");
            let node = directory.entry(part).or_insert_with(|| Node::Directory(BTreeMap::new()));
            let Node::Directory(inner) = node else { unreachable!("a seed's file is not also a directory") };
            directory = inner;
        }
        assert!(name.len() <= NAME_LIMIT, "a seed's file names are short");
        directory.insert(name, Node::File(file));
    }
    root
}

fn directories<'a>(root: BTreeMap<&'a str, Node<'a>>) -> Vec<Directory<'a>> {
    let mut found = vec![Directory { parent: 0, identifier: vec![0], children: Vec::new(), sector: 0, sectors: 0 }];
    let mut queue = std::collections::VecDeque::from([(0, root)]);
    while let Some((index, nodes)) = queue.pop_front() {
        for (number, (name, node)) in nodes.into_iter().enumerate() {
            let child = match node {
                Node::File(file) => {
                    let identifier = format!("E{number:07}.;1").into_bytes();
                    Child { name, identifier, is: ChildIs::File { file, sector: 0 } }
                }
                Node::Directory(inner) => {
                    let identifier = format!("E{number:07}").into_bytes();
                    let directory = found.len();
                    found.push(Directory {
                        parent: index,
                        identifier: identifier.clone(),
                        children: Vec::new(),
                        sector: 0,
                        sectors: 0,
                    });
                    queue.push_back((directory, inner));
                    Child { name, identifier, is: ChildIs::Directory(directory) }
                }
            };
            found[index].children.push(child);
        }
    }
    found
}

fn path_table(directories: &[Directory<'_>], long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut table = Vec::new();
    for directory in directories {
        table.extend([directory.identifier.len() as u8, 0]);
        table.extend(long(directory.sector as u32));
        table.extend(short(directory.parent as u16 + 1));
        table.extend(&directory.identifier);
        if !directory.identifier.len().is_multiple_of(2) {
            table.push(0);
        }
    }
    table
}

fn directory_sectors(directories: &[Directory<'_>], index: usize) -> usize {
    // Where things lie does not change how long their records are.
    directory_extent(directories, index, 0, &Time::new(0)).len().div_ceil(SECTOR)
}

fn directory_extent(directories: &[Directory<'_>], index: usize, continuation: usize, time: &Time) -> Vec<u8> {
    let this = &directories[index];
    let parent = &directories[this.parent];
    let mut extent = Vec::new();
    let links = |directory: &Directory<'_>| {
        2 + directory.children.iter().filter(|child| matches!(child.is, ChildIs::Directory(_))).count()
    };

    let mut system_use = Vec::new();
    if index == 0 {
        // "SP": Rock Ridge is in use; "CE": the rest, which tells its name, is elsewhere.
        system_use.extend(b"SP\x07\x01\xbe\xef\x00");
        system_use.extend(b"CE\x1c\x01");
        for value in [continuation, 0, extension_reference().len()] {
            system_use.extend(both(value as u32));
        }
    }
    system_use.extend(attributes(0o40700, links(this), time));
    push_record(&mut extent, &[0], this.sector, this.sectors * SECTOR, true, time, &system_use);
    let up = attributes(0o40700, links(parent), time);
    push_record(&mut extent, &[1], parent.sector, parent.sectors * SECTOR, true, time, &up);

    for child in &this.children {
        let mut system_use = vec![b'N', b'M', (5 + child.name.len()) as u8, 1, 0];
        system_use.extend(child.name.as_bytes());
        let (sector, size, is_directory) = match child.is {
            ChildIs::Directory(index) => {
                let directory = &directories[index];
                system_use.extend(attributes(0o40700, links(directory), time));
                (directory.sector, directory.sectors * SECTOR, true)
            }
            ChildIs::File { file, sector } => {
                let mode = if file.executable { 0o100_700 } else { 0o100_600 };
                system_use.extend(attributes(mode, 1, time));
                (sector, file.contents.len(), false)
            }
        };
        push_record(&mut extent, &child.identifier, sector, size, is_directory, time, &system_use);
    }
    extent.resize(extent.len().next_multiple_of(SECTOR), 0);
    extent
}

/// "PX": mode, links, owner; "TF": times of modification, access and change.
fn attributes(mode: u32, links: usize, time: &Time) -> Vec<u8> {
    let mut fields = b"PX\x24\x01".to_vec();
    for value in [mode, links as u32, 0, 0] {
        fields.extend(both(value));
    }
    fields.extend(b"TF\x1a\x01\x0e");
    for _ in 0..3 {
        fields.extend(time.short());
    }
    fields
}

fn extension_reference() -> Vec<u8> {
    let name = b"RRIP_1991A";
    let description = b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
    let source = b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY \
                   VOLUME DESCRIPTOR FOR CONTACT INFORMATION.";
    let length = 8 + name.len() + description.len() + source.len();
    let mut field = vec![b'E', b'R', length as u8, 1, name.len() as u8, description.len() as u8, source.len() as u8, 1];
    field.extend(name);
    field.extend(description);
    field.extend(source);
    field
}

fn push_record(
    extent: &mut Vec<u8>,
    identifier: &[u8],
    sector: usize,
    size: usize,
    is_directory: bool,
    time: &Time,
    system_use: &[u8],
) {
    let mut record = vec![0, 0];
    record.extend(both(sector as u32));
    record.extend(both(size as u32));
    record.extend(time.short());
    record.extend([if is_directory { 2 } else { 0 }, 0, 0]);
    record.extend(both_short(1));
    record.push(identifier.len() as u8);
    record.extend(identifier);
    if !record.len().is_multiple_of(2) {
        record.push(0);
    }
    record.extend(system_use);
    if !record.len().is_multiple_of(2) {
        record.push(0);
    }
    record[0] = record.len() as u8;
    // A record does not cross a sector.
    if extent.len() % SECTOR + record.len() > SECTOR {
        extent.resize(extent.len().next_multiple_of(SECTOR), 0);
    }
    extent.extend(record);
}

fn primary_descriptor(
    root: &Directory<'_>,
    sectors: usize,
    path_table_size: usize,
    path_table_sectors: usize,
    time: &Time,
) -> Vec<u8> {
    let mut d = b"\x01CD001\x01\x00".to_vec();
    let padded = |text: &str, width: usize| format!("{text:width$}").into_bytes();
    d.extend(padded("LINUX", 32));
    d.extend(padded(LABEL, 32));
    d.extend([0; 8]);
    d.extend(both(sectors as u32));
    d.extend([0; 32]);
    d.extend(both_short(1));
    d.extend(both_short(1));
    d.extend(both_short(SECTOR as u16));
    d.extend(both(path_table_size as u32));
    d.extend(18u32.to_le_bytes());
    d.extend([0; 4]);
    d.extend((18 + path_table_sectors as u32).to_be_bytes());
    d.extend([0; 4]);
    push_record(&mut d, &[0], root.sector, root.sectors * SECTOR, true, time, &[]);
    for width in [128, 128, 128, 128, 37, 37, 37] {
        d.extend(padded("", width));
    }
    d.extend(time.long());
    d.extend(time.long());
    d.extend(b"0000000000000000\x00");
    d.extend(time.long());
    d.push(1);
    d.resize(SECTOR, 0);
    d
}

/// A number in both byte orders, as the format has it.
fn both(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn both_short(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// A moment, in UTC.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Time {
    fn new(seconds: u64) -> Self {
        // Howard Hinnant's "civil from days", for days since 1970 that are never negative.
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            second_of_day: seconds % 86_400,
        }
    }

    fn short(&self) -> [u8; 7] {
        let (hour, minute, second) = self.clock();
        // The year has one byte; 2155 is the last.
        let year = self.year.saturating_sub(1900).min(255);
        [year as u8, self.month as u8, self.day as u8, hour as u8, minute as u8, second as u8, 0]
    }

    fn long(&self) -> Vec<u8> {
        let (hour, minute, second) = self.clock();
        let (year, month, day) = (self.year, self.month, self.day);
        let mut text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00").into_bytes();
        text.push(0);
        text
    }

    fn clock(&self) -> (u64, u64, u64) {
        (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        for (seconds, long) in [
            (0, "1970010100000000"),
            (951_782_399, "2000022823595900"),
            (951_782_400, "2000022900000000"),
            (1_795_405_000, "2026112303364000"),
        ] {
            assert_eq!(Time::new(seconds).long(), [long.as_bytes(), b"\0"].concat(), "{seconds}");
        }
    }
}
