fn main() {
    let name = std::env::args().nth(1).unwrap();
    println!("Hello {name}!");
}
