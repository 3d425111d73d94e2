//! The program that the tests run, as the sandbox's helper and as a workload.

fn main() {
    galley_sandbox::run_helper_if_asked();
    std::process::exit(galley_sandbox::testbed::run(std::env::args().skip(1)));
}
