//! Taking the ELF kernel out of a bzImage: QEMU starts it directly (PVH), which spares the guest the
//! decompression, half a second under TCG.

use anyhow::{Context as _, Result, bail};

const LZ4_LEGACY_MAGIC: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
/// Blocks of the legacy format hold at most 8 MiB of data.
const BLOCK_LIMIT: usize = 8 << 20;

/// Returns the ELF kernel inside a bzImage whose payload is lz4, as Debian's cloud kernel is.
///
/// Formats: Linux, `Documentation/arch/x86/boot.rst` (`setup_sects`, `payload_offset`,
/// `payload_length`); lz4, `lz4_Frame_format.md`, "Legacy frame".
pub fn vmlinux(bzimage: &[u8]) -> Result<Vec<u8>> {
    let setup_sectors = usize::from(*bzimage.get(0x1f1).context("a bzImage is longer")?);
    let base = (setup_sectors + 1) * 512;
    let start = base + word(bzimage, 0x248)?;
    let length = word(bzimage, 0x24c)?;
    // The payload ends with four bytes that tell its unpacked size.
    let payload = bzimage.get(start..start + length - 4).context("the kernel's payload lies outside the image")?;
    let Some(mut blocks) = payload.strip_prefix(LZ4_LEGACY_MAGIC) else {
        bail!("the kernel is not compressed with lz4");
    };
    let mut out = Vec::new();
    while blocks.len() > 4 {
        let size = word(blocks, 0)?;
        let block = blocks.get(4..4 + size).context("an lz4 block is cut short")?;
        out.extend(lz4_flex::block::decompress(block, BLOCK_LIMIT).context("an lz4 block is damaged")?);
        blocks = &blocks[4 + size..];
    }
    if !out.starts_with(b"\x7fELF") {
        bail!("the kernel inside the image is no ELF file");
    }
    Ok(out)
}

fn word(data: &[u8], at: usize) -> Result<usize> {
    let bytes = data.get(at..at + 4).context("a bzImage is longer")?;
    Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize)
}
