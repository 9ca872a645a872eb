use std::path::Path;
use std::process::Command;

use crate::disk::{DiskFormat, create_empty, grow, inspect};

fn qemu_img(arguments: &[&str], path: &Path) -> Option<String> {
    let output = Command::new("qemu-img").args(arguments).arg(path).output();
    let Ok(output) = output else {
        // `cargo xtask test` has everything installed; there, a test that does nothing has failed.
        assert!(std::env::var_os("RDD_TEST_REQUIRE").is_none(), "qemu-img is not installed");
        eprintln!("not checked: qemu-img is not installed");
        return None;
    };
    let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "qemu-img {arguments:?}: {log}");
    Some(log)
}

fn check(path: &Path, size: u64) {
    assert_eq!(inspect(path).expect("good").virtual_size, size);
    if let Some(log) = qemu_img(&["check", "-f", "qcow2"], path) {
        assert!(log.contains("No errors were found"), "{log}");
    }
    if let Some(log) = qemu_img(&["info", "--output=json"], path) {
        assert!(log.contains(&format!("\"virtual-size\": {size}")), "{log}");
    }
}

#[test]
fn an_empty_qcow2_is_made_and_grows() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("disk");
    create_empty(&path, DiskFormat::Qcow2, 10 << 20).expect("made");
    check(&path, 10 << 20);
    // 100 GiB and 5 TiB need a larger table than the one that was there.
    for size in [10 << 20, (10 << 20) + 512, 1 << 30, 100 << 30, 5 << 40] {
        grow(&path, DiskFormat::Qcow2, size).expect("grown");
        check(&path, size);
    }
    let error = grow(&path, DiskFormat::Qcow2, 1 << 30).expect_err("smaller").to_string();
    assert!(
        error.starts_with("disk shrinking is not supported: /") && error.ends_with("has 5TiB, but 1GiB is asked for"),
        "{error}"
    );
    check(&path, 5 << 40);
    assert_eq!(std::fs::read_dir(place.path()).expect("listed").count(), 1);
}

#[test]
fn images_made_by_qemu_keep_their_data() {
    let place = tempfile::tempdir().expect("a directory");
    let raw = place.path().join("raw");
    let data = super::noise(3 << 20);
    std::fs::write(&raw, &data).expect("written");
    for options in
        ["compat=1.1", "compat=0.10", "compat=1.1,compression_type=zstd", "compat=1.1,extended_l2=on,cluster_size=128k"]
    {
        let path = place.path().join("disk");
        let raw_text = raw.to_str().expect("utf-8");
        let compress = if options.contains("zstd") { "-c" } else { "-q" };
        let made = qemu_img(&["convert", compress, "-f", "raw", "-O", "qcow2", "-o", options, raw_text], &path);
        if made.is_none() {
            return;
        }
        grow(&path, DiskFormat::Qcow2, 80 << 30).expect("grown");
        check(&path, 80 << 30);
        let back = place.path().join("back");
        qemu_img(
            &["dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=3", &format!("if={}", path.display())],
            Path::new(&format!("of={}", back.display())),
        );
        assert!(std::fs::read(&back).expect("read") == data, "{options}");
        std::fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn raw_images_grow() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("disk");
    std::fs::write(&path, "0123456789").expect("written");
    let info = inspect(&path).expect("raw");
    assert_eq!((info.format, info.virtual_size), (DiskFormat::Raw, 512));
    grow(&path, DiskFormat::Raw, 1 << 20).expect("grown");
    assert_eq!(inspect(&path).expect("raw").virtual_size, 1 << 20);
    assert!(std::fs::read(&path).expect("read").starts_with(b"0123456789\0"));
    assert!(grow(&path, DiskFormat::Raw, 512).is_err());
    assert_eq!(std::fs::metadata(&path).expect("metadata").len(), 1 << 20);
}

#[test]
fn what_is_dangerous_or_odd_is_refused() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("disk");
    create_empty(&path, DiskFormat::Qcow2, 10 << 20).expect("made");
    let good = std::fs::read(&path).expect("read");
    let changed = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let iso = {
        let mut image = vec![0; 40_960];
        image[32_768..32_774].copy_from_slice(b"\x01CD001");
        image
    };
    for (image, reason) in [
        (changed(8, &[0, 0, 0, 0, 0, 0, 2, 0]), "it has a backing file, which could be any file of this host"),
        (changed(32, &[0, 0, 0, 1]), "it is encrypted"),
        (changed(79, &[4]), "it has an external data file, which could be any file of this host"),
        (changed(79, &[2]), "it is marked as damaged"),
        (changed(78, &[1]), "it has unknown features (0x100)"),
        (changed(4, &[0, 0, 0, 1]), "it is version 1 of qcow; 2 and 3 are supported"),
        (changed(20, &[0, 0, 0, 60]), "its header is damaged"),
        (good[..20].to_vec(), "its header is cut off"),
        (b"KDMV....".to_vec(), "its format is VMDK; qcow2, raw and ISO 9660 are supported"),
        (b"vhdxfile".to_vec(), "its format is VHDX; qcow2, raw and ISO 9660 are supported"),
        (Vec::new(), "it is empty"),
    ] {
        std::fs::write(&path, image).expect("written");
        let error = inspect(&path).expect_err(reason).to_string();
        assert_eq!(error, format!("cannot use the disk image {}: {reason}", path.display()));
    }
    std::fs::write(&path, iso).expect("written");
    assert_eq!(inspect(&path).expect("a CD").format, DiskFormat::Iso9660);
    assert!(grow(&path, DiskFormat::Iso9660, 1 << 30).is_err());
}

proptest::proptest! {
    /// Whatever the bytes, looking at them gives an answer.
    #[test]
    fn no_image_makes_it_panic(
        head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        is_qcow in proptest::prelude::any::<bool>(),
    ) {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("disk");
        let magic: &[u8] = if is_qcow { b"QFI\xfb\0\0\0\x03" } else { b"" };
        std::fs::write(&path, [magic, &head].concat()).expect("written");
        if let Ok(info) = inspect(&path) && info.format == DiskFormat::Qcow2 {
            let _ = grow(&path, info.format, info.virtual_size.saturating_add(1 << 20) & !511);
        }
    }
}
