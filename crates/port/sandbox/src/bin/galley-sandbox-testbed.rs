//! The program that the sandbox's tests run, as the helper and as a workload.

fn main() {
    galley_sandbox::run_helper_if_asked();
    std::process::exit(galley_sandbox::testbed::run(std::env::args().skip(1)));
}
