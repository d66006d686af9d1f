//! Builds `c/urcu.c` for both flavours of liburcu if the system has its headers and libraries
//! (Debian: `liburcu-dev`). Otherwise warns, and the program leaves liburcu out.

use std::env;

const SOURCE: &str = "c/urcu.c";
/// The library, the macro that selects the flavour in the C file, and the name of the object.
const FLAVOURS: [(&str, &str, &str); 2] =
    [("liburcu-memb", "PEERS_MEMB", "peers_memb"), ("liburcu-bp", "PEERS_BP", "peers_bp")];

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=PEERS_TARGET={}", env::var("TARGET").unwrap_or_default());
    let mut version = String::new();
    for (library, flavour, object) in FLAVOURS {
        // No link lines yet: cargo must get them only if both flavours are found.
        let found = match pkg_config::Config::new().cargo_metadata(false).probe(library) {
            Ok(found) => found,
            Err(_) => return skip(&format!("pkg-config does not know {library}")),
        };
        let mut build = cc::Build::new();
        build
            .file(SOURCE)
            .define(flavour, None)
            .includes(&found.include_paths)
            .flag_if_supported("-std=gnu11")
            .flag_if_supported("-Werror=implicit-function-declaration")
            .cargo_metadata(false);
        if build.try_compile(object).is_err() {
            return skip(&format!("{SOURCE} does not compile for {library}"));
        }
        version = found.version;
    }
    let out = env::var("OUT_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-search=native={out}");
    for (_, _, object) in FLAVOURS {
        println!("cargo:rustc-link-lib=static={object}");
    }
    for (library, _, _) in FLAVOURS {
        let _ = pkg_config::Config::new().probe(library);
    }
    println!("cargo:rustc-env=PEERS_URCU={version}");
    println!("cargo:rustc-cfg=urcu");
}

fn skip(why: &str) {
    println!("cargo:rustc-env=PEERS_URCU=");
    println!(
        "cargo:warning=liburcu is left out: {why} (Debian: apt-get install liburcu-dev pkg-config)"
    );
}
