//! An echo server and a client of one, made of dimpl, for tests of DTLS against another stack.
//! Each line that it prints is of the form "word: text".
//!
//! dimpl_echo FOLDER (server | client PORT) [1.2] [auth] [update] [P-384]

use std::error::Error;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::crypto::NamedGroup;
use dimpl::{Config, Dtls, DtlsCertificate, Output};

type Result<Value> = std::result::Result<Value, Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(5);
const MESSAGES: usize = 12;

/// What an association told in one drain.
#[derive(Default)]
struct Told {
    connected: bool,
    closed: bool,
    messages: Vec<Vec<u8>>,
}

/// Sends what is to be sent and gathers what is told; also when the next timer is due.
fn drain(dtls: &mut Dtls, socket: &UdpSocket) -> Result<(Told, Instant)> {
    let mut told = Told::default();
    let mut buffer = vec![0; 4096];
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(datagram) => {
                socket.send(datagram)?;
            }
            Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
            Output::Timeout(at) => return Ok((told, at)),
            Output::Connected => told.connected = true,
            Output::PeerCert(der) => println!("certificate: {}", der.len()),
            Output::ApplicationData(message) => told.messages.push(message.to_vec()),
            Output::CloseNotify => told.closed = true,
            _ => {}
        }
    }
}

/// Takes a datagram, or the passage of time.
fn step(dtls: &mut Dtls, socket: &UdpSocket, due: Instant) -> Result<()> {
    let wait = due.saturating_duration_since(Instant::now()).min(PATIENCE);
    socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
    let mut buffer = [0; 65536];
    let received = socket.recv(&mut buffer);
    dtls.handle_timeout(Instant::now())?;
    if let Ok(length) = received {
        dtls.handle_packet(&buffer[..length])?;
    }
    Ok(())
}

/// Echoes until the peer closes.
fn serve(mut dtls: Dtls, socket: UdpSocket) -> Result<()> {
    let until = Instant::now() + 2 * PATIENCE;
    while Instant::now() < until {
        let (told, due) = drain(&mut dtls, &socket)?;
        if told.connected {
            println!("connected:");
        }
        for message in told.messages {
            dtls.send_application_data(&message)?;
        }
        let (_, due) = drain(&mut dtls, &socket).map(|(_, again)| ((), due.min(again)))?;
        if told.closed {
            println!("closed:");
            return Ok(());
        }
        step(&mut dtls, &socket, due)?;
    }
    Err("nobody closed".into())
}

/// Says something, hears it, several times, and closes.
fn call(mut dtls: Dtls, socket: UdpSocket) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut heard = 0;
    while Instant::now() < until {
        let (told, due) = drain(&mut dtls, &socket)?;
        if told.connected {
            println!("connected:");
            dtls.send_application_data(b"hello 0")?;
        }
        for message in told.messages {
            println!("heard: {}", String::from_utf8_lossy(&message));
            heard += 1;
            if heard < MESSAGES {
                dtls.send_application_data(format!("hello {heard}").as_bytes())?;
            } else {
                dtls.close()?;
                drain(&mut dtls, &socket)?;
                println!("closed:");
                return Ok(());
            }
        }
        drain(&mut dtls, &socket)?;
        step(&mut dtls, &socket, due)?;
    }
    Err("not heard".into())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let is_client = arguments[1] == "client";
    let file = |name: &str| std::fs::read(format!("{}/{name}", arguments[0]));
    let name = if is_client { "client" } else { "server" };
    let certificate = DtlsCertificate {
        certificate: file(&format!("{name}.der"))?,
        private_key: file(&format!("{name}.key.der"))?,
    };
    let mut builder = Config::builder().require_client_certificate(has("auth"));
    if has("update") {
        builder = builder.aead_encryption_limit(8);
    }
    if has("P-384") {
        builder = builder.kx_groups(&[NamedGroup::Secp384r1]);
    }
    let config = Arc::new(builder.build()?);
    let mut dtls = if has("1.2") {
        Dtls::new_12(config, certificate, Instant::now())
    } else {
        Dtls::new_13(config, certificate, Instant::now())
    };
    dtls.set_active(is_client);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    if is_client {
        socket.connect(("127.0.0.1", arguments[2].parse::<u16>()?))?;
        return call(dtls, socket);
    }
    println!("port: {}", socket.local_addr()?.port());
    socket.set_read_timeout(Some(PATIENCE))?;
    let (_, peer) = socket.peek_from(&mut [0; 1])?;
    socket.connect(peer)?;
    serve(dtls, socket)
}
