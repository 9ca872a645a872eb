//! The qcow2 format, as far as disks are inspected, made and grown.
//!
//! Growing is written here and not left to the imago crate, because images compressed with zstd, which
//! it does not open, are common. It is also the simpler thing to do: the first-level table owns whole
//! clusters, so there is room behind it for terabytes, and a growth is one write to the header.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use imago::format::PreallocateMode;
use imago::qcow2::Qcow2;
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatCreateBuilder, FormatDriverBuilder, Storage, StorageOpenOptions,
};

/// What a qcow2 file begins with.
pub(crate) const MAGIC: &[u8] = b"QFI\xfb";

const DAMAGED: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// The features above, and "dirty" (bit 0), which QEMU repairs when it opens the image.
const KNOWN_FEATURES: u64 = 0b11111;

/// What we use of a header.
pub(crate) struct Header {
    pub(crate) virtual_size: u64,
    version: u32,
    cluster_size: u64,
    features: u64,
    l1_entries: u64,
    l1_offset: u64,
    snapshots: u32,
}

impl Header {
    /// Reads the first bytes of an image, or says why it is refused.
    pub(crate) fn read(head: &[u8]) -> Result<Self, String> {
        let short = || "its header is cut off".to_owned();
        let number32 = |at: usize| {
            let bytes = head.get(at..at + 4).ok_or_else(short)?;
            Ok::<u32, String>(u32::from_be_bytes(bytes.try_into().expect("four bytes")))
        };
        let number64 = |at: usize| Ok::<u64, String>((u64::from(number32(at)?) << 32) | u64::from(number32(at + 4)?));
        let version = number32(4)?;
        if !(2..=3).contains(&version) {
            return Err(format!("it is version {version} of qcow; 2 and 3 are supported"));
        }
        if number64(8)? != 0 {
            return Err("it has a backing file, which could be any file of this host".into());
        }
        let cluster_bits = number32(20)?;
        let virtual_size = number64(24)?;
        if !(9..=21).contains(&cluster_bits) || i64::try_from(virtual_size).is_err() {
            return Err("its header is damaged".into());
        }
        if number32(32)? != 0 {
            return Err("it is encrypted".into());
        }
        let features = if version == 3 { number64(72)? } else { 0 };
        if features & DAMAGED != 0 {
            return Err("it is marked as damaged".into());
        }
        if features & EXTERNAL_DATA != 0 {
            return Err("it has an external data file, which could be any file of this host".into());
        }
        if features & !KNOWN_FEATURES != 0 {
            return Err(format!("it has unknown features ({features:#x})"));
        }
        Ok(Self {
            virtual_size,
            version,
            cluster_size: 1 << cluster_bits,
            features,
            l1_entries: number32(36)?.into(),
            l1_offset: number64(40)?,
            snapshots: number32(60)?,
        })
    }

    /// Returns how many entries the first-level table must have for a size.
    fn l1_entries_for(&self, size: u64) -> u64 {
        let entry = if self.features & EXTENDED_L2 != 0 { 16 } else { 8 };
        size.div_ceil(self.cluster_size.saturating_mul(self.cluster_size / entry))
    }

    /// Returns how many entries fit into the clusters that the table owns.
    fn l1_capacity(&self) -> u64 {
        (self.l1_entries * 8).next_multiple_of(self.cluster_size) / 8
    }
}

/// Grows an image. The size is written last, so a crash leaves the old size or the new.
pub(crate) fn grow(path: &Path, size: u64) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut head = Vec::new();
    Read::take(&mut file, 512).read_to_end(&mut head)?;
    let header = Header::read(&head).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
    if header.version == 2 && header.snapshots > 0 {
        // Its snapshots do not know how large the disk was.
        return Err(io::Error::new(io::ErrorKind::Unsupported, "an image of version 2 with snapshots cannot grow"));
    }
    let table_end = header.l1_offset.checked_add(header.l1_entries * 8);
    let is_inside = table_end.is_some_and(|end| end <= file.metadata().map_or(0, |data| data.len()));
    if !is_inside || header.l1_offset < header.cluster_size || !header.l1_offset.is_multiple_of(header.cluster_size) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its header is damaged"));
    }
    let needed = header.l1_entries_for(size);
    if needed > header.l1_capacity() {
        drop(file);
        return match header.features & COMPRESSION_TYPE == 0 {
            true => futures::executor::block_on(grow_with_new_table(path, size)),
            false => Err(io::Error::new(io::ErrorKind::Unsupported, "too large for an image compressed with zstd")),
        };
    }
    // What is behind the table's end was never used; the format does not say that it is zero.
    if needed > header.l1_entries {
        file.seek(SeekFrom::Start(header.l1_offset + header.l1_entries * 8))?;
        let zeros = vec![0; ((needed - header.l1_entries) * 8) as usize];
        file.write_all(&zeros)?;
    }
    if header.version == 3 {
        // "Autoclear": what only programs may keep that understand it, such as dirty bitmaps.
        file.seek(SeekFrom::Start(88))?;
        file.write_all(&[0; 8])?;
    }
    file.sync_all()?;
    // Size, encryption (none) and the table's length are neighbours: one write within one sector.
    let mut fields = [0; 16];
    fields[..8].copy_from_slice(&size.to_be_bytes());
    let entries = u32::try_from(needed.max(header.l1_entries)).map_err(io::Error::other)?;
    fields[12..].copy_from_slice(&entries.to_be_bytes());
    file.seek(SeekFrom::Start(24))?;
    file.write_all(&fields)?;
    file.sync_all()
}

/// The rare case: the table must move to clusters of its own.
async fn grow_with_new_table(path: &Path, size: u64) -> io::Result<()> {
    let file = imago::file::File::open(StorageOpenOptions::new().filename(path).write(true)).await?;
    let image = Qcow2::<imago::file::File>::builder(file).write(true).open(DenyImplicitOpenGate::default()).await?;
    let image = FormatAccess::new(image);
    image.resize_grow(size, PreallocateMode::None).await?;
    image.flush().await?;
    image.sync().await
}

/// Makes an empty image of an empty file.
pub(crate) fn create(path: &Path, size: u64) -> io::Result<()> {
    futures::executor::block_on(async {
        let file = imago::file::File::open(StorageOpenOptions::new().filename(path).write(true)).await?;
        Qcow2::<imago::file::File>::create_builder(file).size(size).create().await
    })
}
