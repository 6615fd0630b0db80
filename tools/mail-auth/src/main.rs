//! Reads cases as lines of JSON, asks a DNS server at 127.0.0.1, and answers each with what mail-auth says of it.
use mail_auth::{
    dmarc::verify::DmarcParameters,
    hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    spf::verify::SpfParameters,
    AuthenticatedMessage, DkimResult, DmarcResult, MessageAuthenticator,
};
use std::io::{stdin, stdout, BufRead, Write};

fn dkim(result: &DkimResult) -> String {
    match result {
        DkimResult::Pass => "pass".into(),
        DkimResult::Neutral(error) => format!("neutral {error}"),
        DkimResult::Fail(error) => format!("fail {error}"),
        DkimResult::PermError(error) => format!("permerror {error}"),
        DkimResult::TempError(error) => format!("temperror {error}"),
        DkimResult::None => "none".into(),
    }
}

fn dmarc(result: &DmarcResult) -> String {
    match result {
        DmarcResult::Pass => "pass".into(),
        DmarcResult::Fail(error) => format!("fail {error}"),
        DmarcResult::TempError(error) => format!("temperror {error}"),
        DmarcResult::PermError(error) => format!("permerror {error}"),
        DmarcResult::None => "none".into(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port: u16 = std::env::args().nth(1).expect("the DNS server's port").parse().unwrap();
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = port;
    }
    let server = NameServerConfig::new("127.0.0.1".parse().unwrap(), true, connections);
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.attempts = 1;
    options.timeout = std::time::Duration::from_millis(300);
    options.use_hosts_file = mail_auth::hickory_resolver::config::ResolveHosts::Never;
    let asking = MessageAuthenticator::new(ResolverConfig::from_parts(None, vec![], vec![server]), options).unwrap();
    for line in stdin().lock().lines() {
        let case: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |name: &str| case[name].as_str().unwrap_or("").to_string();
        let raw: Vec<u8> = text("message").chars().map(|c| c as u32 as u8).collect(); // an octet a character
        let (helo, sender, from) = (text("helo"), text("sender"), text("sender"));
        let domain = from.rsplit_once('@').map_or(helo.as_str(), |(_, domain)| domain);
        let spf = asking
            .check_host(SpfParameters::mail_from(text("client").parse().unwrap(), &helo, "mx.example.org", &sender))
            .await;
        let mut found = serde_json::json!({"spf": spf.result().to_string()});
        if let Some(message) = AuthenticatedMessage::parse(&raw) {
            let signed = asking.verify_dkim(&message).await;
            let chain = asking.verify_arc(&message).await;
            let whole = asking.verify_dmarc(DmarcParameters::new(&message, &signed, domain, &spf)).await;
            found["dkim"] = signed.iter().map(|one| dkim(one.result())).collect::<Vec<_>>().into();
            found["arc"] = dkim(chain.result()).into();
            found["dmarc"] = dmarc(&whole.result()).into();
            found["policy"] = format!("{:?}", whole.policy()).to_lowercase().into();
        }
        println!("{found}");
        stdout().flush().unwrap();
    }
}
