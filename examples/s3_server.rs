//! The S3 server of the tests as a program, for measurements by hand: prints its endpoint and
//! the credentials that it takes, and serves the buckets named until it is killed.

#[expect(dead_code, reason = "nothing goes wrong by hand")]
#[path = "../tests/it/support/faults.rs"]
mod faults;
#[expect(
    dead_code,
    reason = "a program needs less of the server than the tests do"
)]
#[path = "../tests/it/support/s3_server.rs"]
mod s3_server;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let buckets: Vec<&str> = match named.is_empty() {
        true => vec!["site"],
        false => named.iter().map(String::as_str).collect(),
    };
    let server = s3_server::S3Server::start(&buckets);
    println!("{}", server.endpoint());
    println!(
        "AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}",
        s3_server::ACCESS_KEY,
        s3_server::SECRET_KEY
    );
    println!("buckets: {}", buckets.join(" "));
    loop {
        std::thread::park();
    }
}
