use std::io::{Read, Write};

fn main() {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
    std::io::stdout().write_all(&bytes).unwrap();
}
