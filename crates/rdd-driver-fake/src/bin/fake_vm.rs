//! The process that stands for a VM, as a program of its own. For tests of crates that have no `rdd`.

fn main() {
    let arguments = std::env::args_os().skip(1).collect();
    std::process::exit(rdd_driver_fake::process::main(arguments));
}
