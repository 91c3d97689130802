//! A server that is none: it says byte by byte what it was told to say, which no HTTP library would. It runs in
//! the runtime of the test, so that a clock that stands still stands still for both sides.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens after the head of a request has come in.
#[derive(Clone, Debug)]
pub enum Step {
    Say(Vec<u8>),
    /// This again and again, until the other side goes away.
    SayForEver(Vec<u8>),
    /// The same with a pause after each.
    Trickle(Vec<u8>, Duration),
    /// Nothing more, with the connection open.
    Hang,
    Close,
    /// Close as a machine that has lost its mind: RST.
    Reset,
}

pub fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    bytes: AtomicU64,
}

pub struct Wire {
    address: SocketAddr,
    seen: Arc<Seen>,
}

type Answers = Arc<Mutex<VecDeque<Vec<Step>>>>;

impl Wire {
    /// The requests get these answers in their order, the last of them for ever. A connection stays open after an
    /// answer that says nothing else.
    pub async fn start(answers: Vec<Vec<Step>>) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let answers: Answers = Arc::new(Mutex::new(answers.into()));
        let counted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&counted));
                // An error is a client that has had enough.
                tokio::spawn(async move { converse(socket, answers, seen).await });
            }
        });
        Wire { address, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Bytes that went into the connections.
    pub fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }
}

async fn converse(mut socket: TcpStream, answers: Answers, seen: Arc<Seen>) -> io::Result<()> {
    loop {
        read_head(&mut socket).await?;
        seen.requests.fetch_add(1, Ordering::Relaxed);
        let steps = {
            let mut answers = answers.lock().unwrap();
            match answers.len() {
                1 => answers[0].clone(),
                _ => answers.pop_front().expect("there is an answer"),
            }
        };
        for step in steps {
            match step {
                Step::Say(bytes) => send(&mut socket, &bytes, &seen).await?,
                Step::SayForEver(bytes) => loop {
                    send(&mut socket, &bytes, &seen).await?;
                },
                Step::Trickle(bytes, pause) => loop {
                    send(&mut socket, &bytes, &seen).await?;
                    tokio::time::sleep(pause).await;
                },
                Step::Hang => std::future::pending().await,
                Step::Close => return Ok(()),
                Step::Reset => return socket.set_zero_linger(),
            }
        }
    }
}

async fn send(socket: &mut TcpStream, bytes: &[u8], seen: &Seen) -> io::Result<()> {
    socket.write_all(bytes).await?;
    seen.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Up to the empty line. Requests of these tests have no body.
async fn read_head(socket: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(())
}
