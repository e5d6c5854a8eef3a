fn main() {
    println!("nothing");
}
