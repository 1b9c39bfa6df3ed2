fn main() {
    match std::env::args().nth(1).as_deref() {
        None => {
            eprintln!("usage: greet NAME");
            std::process::exit(2);
        }
        Some("--version") => println!("greet {}", env!("VERSION")),
        Some(name) => println!("Hello {name}!"),
    }
}
