use super::*;
use rdd_machine::MachineName;
use rdd_machine::config::{Mount, NineP};

fn config(arch: Arch) -> MachineConfig {
    let mut config = MachineConfig::new(MachineName::new("demo").unwrap(), "/lima/demo".into(), "qemu");
    config.arch = arch;
    config.cpus = 2;
    config.memory = 1 << 30;
    config.mac_address = "52:55:55:12:34:56".into();
    config
}

fn plan(config: &MachineConfig) -> Plan<'_> {
    let file = |name: &str| config.dir.join(name);
    let disk = DiskFile { path: file("disk"), format: "qcow2".into(), serial: String::new() };
    Plan {
        config,
        files: Files { disk: Some(disk), ..Files::default() },
        outlets: Outlets {
            qmp: file("qmp.sock"),
            pid_file: file("qemu.pid"),
            serial: (file("serial.sock"), file("serial.log")),
            serial_pci: (file("serialp.sock"), file("serialp.log")),
            serial_virtio: (file("serialv.sock"), file("serialv.log")),
        },
        accelerator: Accelerator::Tcg,
        seed: file("cidata.iso"),
        ssh_port: 60022,
    }
}

/// One option and its value per line.
fn text(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    for word in arguments(plan) {
        let word = word.into_string().unwrap();
        if !text.is_empty() {
            text.push_str(if word.starts_with('-') { "\n" } else { " " });
        }
        text.push_str(&word);
    }
    text
}

fn check(plan: &Plan<'_>, expect: &str) {
    assert_eq!(text(plan), expect.trim());
}

#[test]
fn x86_64_with_firmware_and_tcg() {
    let config = config(Arch::X86_64);
    let mut plan = plan(&config);
    plan.files.firmware = Some("/usr/share/OVMF/OVMF_CODE_4M.fd".into());
    check(
        &plan,
        r"
-nodefaults
-no-user-config
-name lima-demo
-machine q35,vmport=off
-accel tcg,thread=multi,tb-size=512
-cpu max
-global ICH9-LPC.disable_s3=1
-global ICH9-LPC.disable_s4=1
-m 1024
-smp 2,sockets=1,cores=2,threads=1
-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd
-drive id=boot-disk,if=none,format=qcow2,discard=on,file=/lima/demo/disk
-device virtio-blk-pci,drive=boot-disk,bootindex=1
-drive id=cidata,if=none,format=raw,readonly=on,file=/lima/demo/cidata.iso
-device virtio-blk-pci,drive=cidata,serial=cidata
-netdev user,id=net0,net=192.168.5.0/24,dhcpstart=192.168.5.15,hostfwd=tcp:127.0.0.1:60022-:22
-device virtio-net-pci,netdev=net0,mac=52:55:55:12:34:56,romfile=
-device virtio-rng-pci
-display none
-chardev socket,id=char-serial,path=/lima/demo/serial.sock,logfile=/lima/demo/serial.log,server=on,wait=off
-chardev socket,id=char-serial-virtio,path=/lima/demo/serialv.sock,logfile=/lima/demo/serialv.log,server=on,wait=off
-serial chardev:char-serial
-device virtio-serial-pci,id=virtio-serial0,max_ports=1
-device virtconsole,chardev=char-serial-virtio,id=console0
-chardev socket,id=char-qmp,path=/lima/demo/qmp.sock,server=on,wait=off
-qmp chardev:char-qmp
-pidfile /lima/demo/qemu.pid
",
    );
}

#[test]
fn a_kernel_an_iso_and_more_disks() {
    let mut config = config(Arch::X86_64);
    config.cpu_type = Some("Nehalem".into());
    let mut plan = plan(&config);
    plan.accelerator = Accelerator::Kvm;
    plan.files.iso = Some("/lima/demo/iso".into());
    plan.files.additional = vec![
        DiskFile { path: "/lima/_disks/a/datadisk".into(), format: "qcow2".into(), serial: "lima-disk-0".into() },
        DiskFile { path: "/lima/_disks/b/datadisk".into(), format: "raw".into(), serial: "lima-disk-1".into() },
    ];
    plan.files.kernel = Some(KernelFiles {
        kernel: "/lima/demo/kernel".into(),
        cmdline: "console=ttyS0 quiet".into(),
        initrd: Some("/lima/demo/initrd".into()),
    });
    let text = text(&plan);
    for part in [
        "-accel kvm\n-cpu Nehalem\n",
        "-kernel /lima/demo/kernel\n-append console=ttyS0 quiet\n-initrd /lima/demo/initrd\n",
        "-drive id=iso,if=none,format=raw,media=cdrom,readonly=on,file=/lima/demo/iso\n-device virtio-scsi-pci\n-device scsi-cd,drive=iso,bootindex=1\n",
        "-device virtio-blk-pci,drive=boot-disk,bootindex=2\n",
        "-drive id=disk-0,if=none,format=qcow2,discard=on,file=/lima/_disks/a/datadisk\n-device virtio-blk-pci,drive=disk-0,serial=lima-disk-0\n",
        "-drive id=disk-1,if=none,format=raw,discard=on,file=/lima/_disks/b/datadisk\n-device virtio-blk-pci,drive=disk-1,serial=lima-disk-1\n",
    ] {
        assert!(text.contains(part), "{part}\nis missing in\n{text}");
    }
}

#[test]
fn commas_in_paths_are_doubled() {
    let mut config = config(Arch::X86_64);
    config.dir = "/lima, too/demo".into();
    config.mount_type = "9p".into();
    config.mounts = vec![Mount {
        location: "/home/a,b".into(),
        mount_point: "/home/a,b".into(),
        writable: false,
        tag: "lima-0123456789abcdef".into(),
        nine_p: NineP::default(),
    }];
    let text = text(&plan(&config));
    for part in [
        "file=/lima,, too/demo/disk\n",
        "path=/lima,, too/demo/serial.sock,logfile=/lima,, too/demo/serial.log,server=on",
        "path=/lima,, too/demo/qmp.sock,server=on",
        "-virtfs local,mount_tag=lima-0123456789abcdef,security_model=none,path=/home/a,,b,readonly=on\n",
        "-pidfile /lima, too/demo/qemu.pid",
    ] {
        assert!(text.contains(part), "{part}\nis missing in\n{text}");
    }
}

#[test]
fn other_architectures() {
    let arm = config(Arch::Aarch64);
    let line = text(&plan(&arm));
    for part in [
        "-machine virt\n",
        "-chardev socket,id=char-serial-pci,path=/lima/demo/serialp.sock",
        "-device pci-serial,chardev=char-serial-pci\n",
    ] {
        assert!(line.contains(part), "{part}\nis missing in\n{line}");
    }
    assert!(!line.contains("ICH9"), "{line}");
    let mainframe = config(Arch::S390x);
    let line = text(&plan(&mainframe));
    assert!(line.contains("virtio-net-ccw,netdev=net0,mac=52:55:55:12:34:56\n") && !line.contains("-pci"), "{line}");
}

#[test]
fn a_window_brings_its_devices() {
    let mut config = config(Arch::X86_64);
    config.video_display = "gtk".into();
    let line = text(&plan(&config));
    assert!(line.contains("-display gtk\n-device virtio-vga\n"), "{line}");
}
