//! Everything that may be done with requests and answers on their way.

use locum::model::{
    AbortStatus, AnswerHeader, Bandwidth, Codec, Compression, Fault, Filters, GlobalLimit, Limit,
    LimitMatch, LimitRule, Override, RateLimit, StringMatch, TextMatch,
};

use locum::resource::ObjectName;

use crate::models::SECOND;

/// Nothing, all of it, and some of it, in turn.
pub(crate) fn filters(index: usize) -> Filters {
    let all = index % 3 == 1;
    if index.is_multiple_of(3) {
        return Filters::default();
    }
    Filters {
        fault: Some(Fault {
            delay: all.then_some((SECOND / 10, 500_000)),
            abort: Some(match all {
                true => (AbortStatus::Http(503), 1),
                false => (AbortStatus::Grpc(14), 1_000_000),
            }),
        }),
        rate_limit: Some(rate_limit(all)),
        global_limits: global_limits(all),
        request_buffer: all.then_some(4_294_967_295),
        request_bandwidth: Some(Bandwidth {
            kib_per_second: 1,
            trailers: None,
        }),
        response_bandwidth: Some(Bandwidth {
            kib_per_second: 1024,
            trailers: Some(if all { "x-slow" } else { "" }.into()),
        }),
        compression: compression(all),
        overrides: vec![
            Override {
                statuses: vec![(503, 503), (400, 499)],
                headers: vec![
                    ("x-a".into(), TextMatch::Exact("a".into())),
                    ("x-b".into(), TextMatch::Prefix("b".into())),
                    ("x-c".into(), TextMatch::Suffix("c".into())),
                    ("x-d".into(), TextMatch::Regex("d+".into())),
                ],
                status: Some(200),
                body: Some(if all { "%RESPONSE_CODE% %%" } else { "{}" }.into()),
                set: vec![header("content-type", false), header("x-e", true)],
            },
            Override {
                statuses: vec![(500, 599)],
                ..Override::default()
            },
        ],
        hides_load_reports: all,
        kept_headers: ["x-one".to_owned(), "x_two".to_owned()].into(),
    }
}

fn header(name: &str, added: bool) -> AnswerHeader {
    AnswerHeader {
        name: name.into(),
        value: "text/plain".into(),
        added,
    }
}

fn compression(all: bool) -> Vec<Compression> {
    let length = if all { 30 } else { 1024 };
    let codecs = if all {
        vec![Codec::Gzip, Codec::Brotli, Codec::Zstd]
    } else {
        vec![Codec::Zstd, Codec::Gzip]
    };
    let with_length = |codec| Compression {
        codec,
        min_length: length,
    };
    codecs.into_iter().map(with_length).collect()
}

fn global_limits(all: bool) -> Vec<GlobalLimit> {
    const DAY: u32 = 24 * 60 * 60;
    let rules = rate_limit(all).rules.into_iter();
    rules
        .zip([1, 60, DAY, 30 * DAY])
        .map(|(mut rule, seconds)| {
            rule.limit.per = SECOND * seconds;
            GlobalLimit {
                rule,
                answer_cost: all.then_some(3),
                shared_by: all.then(|| ObjectName::new("default", "policy")),
            }
        })
        .collect()
}

fn rate_limit(all: bool) -> RateLimit {
    let limit = Limit {
        requests: 10,
        per: SECOND * 60,
    };
    let rule = |matches| LimitRule {
        limit,
        matches,
        cost: all.then_some(0),
        shadow: all,
        headers: [None, Some(false)][usize::from(all)],
    };
    RateLimit {
        default: Limit {
            requests: if all { u32::MAX } else { 0 },
            per: SECOND,
        },
        rules: vec![
            rule(vec![
                LimitMatch::Header {
                    name: ":path".into(),
                    value: StringMatch::Regex("/a(/.*)?".into()),
                    invert: all,
                },
                LimitMatch::EachHeader("x-user".into()),
            ]),
            rule(vec![
                LimitMatch::Query {
                    name: "q".into(),
                    value: StringMatch::Exact("1".into()),
                    invert: all,
                },
                LimitMatch::EachQuery("r".into()),
            ]),
            rule(vec![
                LimitMatch::Source {
                    address: "192.0.2.0".parse().unwrap(),
                    bits: 24,
                    invert: false,
                },
                LimitMatch::EachSource,
            ]),
            rule(vec![LimitMatch::Source {
                address: "2001:db8::".parse().unwrap(),
                bits: 32,
                invert: true,
            }]),
        ],
        headers: all,
    }
}
