use std::path::{Path, PathBuf};

use rdd_machine::config::{Arch, Image, Kernel};
use rdd_machine::{MachineConfig, MachineName};

use super::{digest, noise, source};
use crate::blocking::Job;
use crate::disk::{DiskFormat, create_empty, inspect};
use crate::prepare::make_disk;
use crate::{Cache, MachineFiles, PrepareError, Prepared, Progress};

struct Place {
    directory: tempfile::TempDir,
    config: MachineConfig,
    files: MachineFiles,
}

impl Place {
    fn new(images: impl FnOnce(&Path) -> Vec<Image>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let machine = directory.path().join("machine");
        std::fs::create_dir(&machine).expect("made");
        std::fs::write(machine.join(".preparing"), "").expect("written");
        let name = MachineName::new("demo").expect("a good name");
        let mut config = MachineConfig::new(name, machine.clone(), "qemu");
        config.images = images(directory.path());
        config.disk = 4 << 30;
        Self { files: MachineFiles::in_dir(&machine), directory, config }
    }

    async fn prepare(&self) -> Result<Prepared, PrepareError> {
        let cache = Cache::new(self.directory.path().join("cache"));
        crate::prepare(&self.config, &self.files, &cache, &|_: Progress| {}).await
    }

    /// The world knows of the machine: it is created.
    fn complete(&self) {
        std::fs::remove_file(self.config.dir.join(".preparing")).expect("removed");
    }

    /// The files, but for the mark of a machine that is being created.
    fn listing(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.config.dir)
            .expect("listed")
            .map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".preparing")
            .collect();
        names.sort();
        names
    }
}

fn image(path: impl AsRef<Path>) -> Image {
    Image { file: source(path.as_ref().to_string_lossy(), None), kernel: None, initrd: None }
}

fn qcow2(directory: &Path, size: u64) -> PathBuf {
    let path = directory.join("image.qcow2");
    create_empty(&path, DiskFormat::Qcow2, size).expect("made");
    path
}

#[tokio::test]
async fn a_qcow2_becomes_the_disk_and_grows() {
    let mut place = Place::new(|dir| vec![image(qcow2(dir, 1 << 30))]);
    let expected = Prepared { disk_format: DiskFormat::Qcow2, disk_size: 4 << 30, has_iso: false, has_kernel: false };
    for _ in 0..2 {
        assert_eq!(place.prepare().await.expect("prepared"), expected);
        assert_eq!(place.listing(), ["disk", "disk.format", "image.source"]);
        assert_eq!(inspect(&place.files.disk).expect("good").virtual_size, 4 << 30);
        assert_eq!(std::fs::read_to_string(&place.files.disk_format).expect("read"), "qcow2\n");
    }
    place.config.disk = 6 << 30;
    // The image is not needed any more.
    std::fs::remove_file(place.directory.path().join("image.qcow2")).expect("removed");
    assert_eq!(place.prepare().await.expect("grown").disk_size, 6 << 30);
    place.config.disk = 5 << 30;
    let error = place.prepare().await.expect_err("smaller").to_string();
    assert!(error.starts_with("disk shrinking is not supported"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_disk_that_is_gone_is_never_replaced() {
    let place = Place::new(|dir| vec![image(qcow2(dir, 1 << 30))]);
    place.prepare().await.expect("prepared");
    place.complete();
    let disk = &place.files.disk;
    let (volume, away) = (place.directory.path().join("volume"), place.directory.path().join("away"));
    std::fs::create_dir(&volume).expect("made");
    std::fs::rename(disk, volume.join("disk")).expect("moved");
    std::os::unix::fs::symlink(volume.join("disk"), disk).expect("linked");
    place.prepare().await.expect("a link is as good as a file");

    std::fs::rename(&volume, &away).expect("moved");
    let error = place.prepare().await.expect_err("the volume is away").to_string();
    let expected =
        format!("the disk {} is a link to {}, which is not there", disk.display(), volume.join("disk").display());
    assert!(error.starts_with(&expected), "{error}");
    assert!(
        disk.symlink_metadata().expect("there").is_symlink()
            && place.listing() == ["disk", "disk.format", "image.source"]
    );
    std::fs::rename(&away, &volume).expect("moved");
    place.prepare().await.expect("back again");

    std::fs::remove_file(disk).expect("removed");
    let error = place.prepare().await.expect_err("no disk").to_string();
    assert!(error.starts_with(&format!("the disk {} is missing", disk.display())), "{error}");
    assert!(error.contains("put it back"), "{error}");
    assert_eq!(place.listing(), ["disk.format", "image.source"]);
}

#[tokio::test]
async fn a_disk_smaller_than_its_image_is_refused() {
    let mut place = Place::new(|dir| vec![image(qcow2(dir, 8 << 30))]);
    let error = place.prepare().await.expect_err("too small").to_string();
    assert_eq!(error, "the disk of 4GiB is smaller than its image, which has 8GiB; raise `disk` in the template");
    assert_eq!(place.listing(), ["image", "image.source"]);
    place.config.disk = 9 << 30;
    assert_eq!(place.prepare().await.expect("prepared").disk_size, 9 << 30);
}

#[tokio::test]
async fn a_raw_image_stays_raw_whatever_the_guest_writes() {
    let place = Place::new(|dir| {
        std::fs::write(dir.join("raw.img"), noise(1 << 20)).expect("written");
        vec![image(dir.join("raw.img"))]
    });
    assert_eq!(place.prepare().await.expect("prepared").disk_format, DiskFormat::Raw);
    let disguise = qcow2(place.directory.path(), 1 << 20);
    let mut disk = std::fs::read(disguise).expect("read");
    disk[8..16].copy_from_slice(&512u64.to_be_bytes());
    use std::io::Write;
    let mut file = std::fs::File::options().write(true).open(&place.files.disk).expect("open");
    file.write_all(&disk).expect("written");
    assert_eq!(place.prepare().await.expect("prepared").disk_format, DiskFormat::Raw);
    // Without the record nobody can know, but nothing is opened that should not be.
    std::fs::remove_file(&place.files.disk_format).expect("removed");
    assert!(matches!(place.prepare().await, Err(PrepareError::Disk(_))));
}

#[tokio::test]
async fn the_first_image_that_can_be_had_wins_with_its_kernel() {
    let foreign = if Arch::native() == Arch::Aarch64 { Arch::X86_64 } else { Arch::Aarch64 };
    let place = Place::new(|dir| {
        std::fs::write(dir.join("kernel"), "a kernel").expect("written");
        std::fs::write(dir.join("initrd.gz"), b"\x1f\x8bnot really").expect("written");
        let kernel = |name: &str, cmdline: &str| Kernel {
            file: source(dir.join(name).to_string_lossy(), Some(digest(b"a kernel"))),
            cmdline: cmdline.into(),
        };
        let mut other_arch = image("/never/asked");
        other_arch.file.arch = foreign;
        let missing = Image { kernel: Some(kernel("kernel", "old")), ..image("/not/there") };
        let good = Image {
            kernel: Some(kernel("kernel", "")),
            initrd: Some(source(dir.join("initrd.gz").to_string_lossy(), None)),
            ..image(qcow2(dir, 1 << 30))
        };
        vec![other_arch, missing, good]
    });
    let prepared = place.prepare().await.expect("prepared");
    assert!(prepared.has_kernel);
    assert_eq!(
        place.listing(),
        ["disk", "disk.format", "image.source", "initrd", "initrd.source", "kernel", "kernel.source"]
    );
    assert_eq!(std::fs::read(&place.files.initrd).expect("read"), b"\x1f\x8bnot really");
}

#[tokio::test]
async fn kernel_cmdline_and_ram_disk_follow_the_template() {
    let mut place = Place::new(|dir| {
        let file = |name: &str, text: &str| {
            std::fs::write(dir.join(name), text).expect("written");
            source(dir.join(name).to_string_lossy(), None)
        };
        let kernel = Kernel { file: file("kernel-1", "one"), cmdline: "root=/dev/vda1".into() };
        file("kernel-2", "two");
        let good =
            Image { kernel: Some(kernel), initrd: Some(file("initrd-1", "first")), ..image(qcow2(dir, 1 << 30)) };
        let missing = Image { kernel: None, ..image("/not/there") };
        vec![missing, good]
    });
    let read = |path: &Path| std::fs::read_to_string(path).expect("there");
    let files = place.files.clone();
    place.prepare().await.expect("prepared");
    place.complete();
    assert_eq!((read(&files.kernel), read(&files.initrd)), ("one".into(), "first".into()));
    let disk = std::fs::metadata(&files.disk).expect("there").modified().expect("a time");

    // A kernel that was deleted is fetched again; one that is there is not.
    std::fs::remove_file(&files.kernel).expect("removed");
    std::fs::write(&files.initrd, "kept").expect("written");
    place.prepare().await.expect("prepared");
    assert_eq!((read(&files.kernel), read(&files.initrd)), ("one".into(), "kept".into()));

    let other = place.directory.path().join("kernel-2").to_string_lossy().into_owned();
    let kernel = place.config.images[1].kernel.as_mut().expect("a kernel");
    kernel.cmdline = "quiet".into();
    kernel.file.location = other;
    place.prepare().await.expect("prepared");
    assert_eq!((read(&files.kernel), read(&files.kernel_cmdline)), ("two".into(), "quiet".into()));

    // Another digest is another file, also at the same place.
    let kernel = place.config.images[1].kernel.as_mut().expect("a kernel");
    kernel.file.digest = Some(digest(b"three"));
    let error = place.prepare().await.expect_err("it is not three");
    assert!(super::chain(&error).contains("digest mismatch"), "{error}");
    assert_eq!(read(&files.kernel), "two", "what was there stays");
    std::fs::write(place.directory.path().join("kernel-2"), "three").expect("written");
    place.prepare().await.expect("prepared");
    assert_eq!(read(&files.kernel), "three");

    place.config.images[1].initrd = None;
    place.prepare().await.expect("prepared");
    assert!(!files.initrd.exists() && files.kernel.exists());
    place.config.images[1].kernel = None;
    place.prepare().await.expect("prepared");
    assert_eq!(place.listing(), ["disk", "disk.format", "image.source"]);
    assert_eq!(std::fs::metadata(&files.disk).expect("there").modified().expect("a time"), disk);
}

#[tokio::test]
async fn what_was_put_there_by_hand_stays() {
    let mut place = Place::new(|dir| vec![image(qcow2(dir, 1 << 30))]);
    place.prepare().await.expect("prepared");
    std::fs::write(&place.files.kernel, "mine").expect("written");
    place.prepare().await.expect("prepared");
    assert_eq!(std::fs::read(&place.files.kernel).expect("there"), b"mine");
    // Older versions kept no record; their kernel is taken for the template's.
    let file = source("/not/there", None);
    place.config.images[0].kernel = Some(Kernel { file, cmdline: "quiet".into() });
    std::fs::remove_file(&place.files.image_source).expect("removed");
    place.prepare().await.expect("prepared");
    assert_eq!(std::fs::read(&place.files.kernel).expect("there"), b"mine");
    assert_eq!(std::fs::read(&place.files.kernel_cmdline).expect("there"), b"quiet");
}

#[tokio::test]
async fn errors_of_all_images_are_told() {
    let place = Place::new(|_| vec![image("/not/there"), image("ftp://x/y")]);
    assert_eq!(
        place.prepare().await.expect_err("none").to_string(),
        "cannot get any image:\n  cannot open /not/there: No such file or directory (os error 2)\n  \
         cannot fetch ftp://x/y: only http, https, file and absolute paths are known"
    );
    let mut place = Place::new(|_| vec![image("/not/there")]);
    place.config.images[0].file.arch = Arch::S390x;
    let error = place.prepare().await.expect_err("none").to_string();
    assert_eq!(error, format!("the template has no image for {}", place.config.arch.as_str()));
}

#[tokio::test]
async fn a_cd_gets_an_empty_disk_beside_it() {
    let place = Place::new(|dir| {
        let mut cd = vec![0; 40_960];
        cd[32_768..32_774].copy_from_slice(b"\x01CD001");
        std::fs::write(dir.join("cd.iso"), cd).expect("written");
        vec![image(dir.join("cd.iso"))]
    });
    for _ in 0..2 {
        let prepared = place.prepare().await.expect("prepared");
        assert_eq!((prepared.disk_format, prepared.has_iso), (DiskFormat::Qcow2, true));
        assert_eq!(place.listing(), ["disk", "disk.format", "image.source", "iso"]);
    }
}

#[test]
fn what_nobody_waits_for_changes_nothing_more() {
    let place = Place::new(|dir| vec![image(qcow2(dir, 1 << 30))]);
    let original = place.directory.path().join("image.qcow2");
    for listing in [&["image"][..], &["disk.format", "image"], &["disk"], &[]] {
        for name in ["image", "disk", "disk.format"] {
            let path = place.config.dir.join(name);
            match listing.contains(&name) {
                true if name == "disk.format" => std::fs::write(path, "qcow2\n").expect("written"),
                true => drop(std::fs::copy(&original, path).expect("copied")),
                false => drop(std::fs::remove_file(path)),
            }
        }
        let error = make_disk(&place.files, 4 << 30, &Job::abandoned()).expect_err("abandoned");
        assert!(super::chain(&error).ends_with("cancelled"), "{error}");
        assert_eq!(place.listing(), listing);
        let disk = place.files.disk.exists().then(|| inspect(&place.files.disk).expect("good").virtual_size);
        assert!(disk.is_none_or(|size| size == 1 << 30), "{disk:?}");
    }
}

#[tokio::test]
async fn every_state_that_a_crash_leaves_is_gone_on_from() {
    for crash in 0..4 {
        let place = Place::new(|dir| vec![image(qcow2(dir, 1 << 30))]);
        let original = place.directory.path().join("image.qcow2");
        match crash {
            // Half a copy.
            0 => std::fs::write(place.config.dir.join(".image.tmp-aB3dE9"), "half").expect("written"),
            // A copy, and nothing else.
            1 => drop(std::fs::copy(&original, &place.files.image).expect("copied")),
            // The format is known, the disk has no name yet.
            2 => {
                std::fs::copy(&original, &place.files.image).expect("copied");
                std::fs::write(&place.files.disk_format, "qcow2\n").expect("written");
            }
            // A disk of the original, without a record.
            _ => drop(std::fs::copy(&original, &place.files.disk).expect("copied")),
        }
        assert_eq!(place.prepare().await.expect("prepared").disk_format, DiskFormat::Qcow2);
        let names: Vec<_> = place.listing().into_iter().filter(|name| name != "image.source").collect();
        assert_eq!(names, ["disk", "disk.format"], "crash {crash}");
        assert_eq!(inspect(&place.files.disk).expect("good").virtual_size, 4 << 30);
    }
}
