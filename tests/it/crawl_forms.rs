//! Promise: a questionnaire of GET forms is mirrored to its end on the pages that the configuration names: all its
//! choices, with the redirects and the forms they lead to. Elsewhere, and where a form sends with POST or wants free
//! text, nothing is filled in. What a bound left out is counted.

use std::collections::BTreeSet;

use crate::support::origin::{Origin, Page};
use crate::support::scene::Scene;

fn asked(scene: &Scene) -> BTreeSet<String> {
    let mut asked: BTreeSet<String> = scene.times().into_keys().collect();
    asked.remove("/robots.txt");
    asked.remove("/");
    asked
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn question(origin: &Origin, path: &str, form: &str) {
    origin.set(path, Page::html(format!("<h1>{path}</h1>{form}")));
}

fn answers(scene: &mut Scene, patterns: &[&str]) {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned());
    scene.config.crawl.forms = patterns.collect();
}

#[test]
// long: a questionnaire, page by page, and all that is asked for of it.
fn a_smart_answer_is_mirrored_question_by_question() {
    let mut scene = Scene::new();
    answers(&mut scene, &["/calculate-"]);
    let origin = &scene.origin;
    scene.page("/", &["/calculate-leave", "/other"], "home");
    question(
        origin,
        "/calculate-leave",
        "<form action=/calculate-leave/y><input type=hidden name=next value=1>\
         <input type=radio name=response value=yes><input type=radio name=response value=no>\
         <button>Next</button></form>\
         <form method=post action=/calculate-leave/feedback><input type=radio name=useful value=1><button>x</button></form>\
         <form action=/calculate-leave/search><input name=q></form>",
    );
    // An answer is a redirect to a page of its own.
    let redirect = |from: &str, to: &str| origin.set(from, Page::redirect(302, to));
    redirect(
        "/calculate-leave/y?next=1&response=yes",
        "/calculate-leave/y/yes",
    );
    redirect(
        "/calculate-leave/y?next=1&response=no",
        "/calculate-leave/y/no",
    );
    question(
        origin,
        "/calculate-leave/y/yes",
        "<form action=/calculate-leave/y/yes/when><select name=year><option>2025<option>2026</select>\
         <input type=checkbox name=half value=1><button name=go value=a>A</button><button name=go value=b>B</button></form>",
    );
    question(origin, "/calculate-leave/y/no", "You cannot take leave.");
    question(
        origin,
        "/calculate-leave/y/yes/when",
        "<a href=/calculate-leave/result>Result</a>",
    );
    question(origin, "/calculate-leave/result", "Take it.");
    // The same form, on a page that nobody has named.
    question(
        origin,
        "/other",
        "<form action=/other/y><input type=radio name=a value=1><button>x</button></form>",
    );
    let report = scene.run();
    let mut expected = set(&[
        "/other",
        "/calculate-leave",
        "/calculate-leave/y?next=1&response=yes",
        "/calculate-leave/y?next=1&response=no",
        "/calculate-leave/y/yes",
        "/calculate-leave/y/no",
        "/calculate-leave/result",
    ]);
    for year in ["2025", "2026"] {
        for go in ["a", "b"] {
            expected.insert(format!("/calculate-leave/y/yes/when?go={go}&year={year}"));
            expected.insert(format!(
                "/calculate-leave/y/yes/when?go={go}&half=1&year={year}"
            ));
        }
    }
    // A form that sends with GET is a link to where it sends, like any other.
    expected.extend(set(&[
        "/other/y",
        "/calculate-leave/y",
        "/calculate-leave/y/yes/when",
        "/calculate-leave/search",
    ]));
    assert_eq!(asked(&scene), expected);
    assert_eq!(report.crawl.errors, 0, "{:?}", report.troubles);
    // What is unchanged is not filled in again, and nothing is lost by it.
    let report = scene.run();
    assert_eq!(asked(&scene), expected);
    assert_eq!(
        (report.crawl.new, report.crawl.changed, report.crawl.gone),
        (0, 0, 0)
    );
}

#[test]
fn what_a_bound_leaves_out_is_counted() {
    let mut scene = Scene::new();
    answers(&mut scene, &["/many$"]);
    scene.config.crawl.forms_max = 10;
    scene.page("/", &["/many"], "home");
    let select = |name: &str| {
        let options: String = (0..5).map(|value| format!("<option>{value}")).collect();
        format!("<select name={name}>{options}</select>")
    };
    let form = format!(
        "<form action=/many/found>{}{}<button>x</button></form>",
        select("a"),
        select("b")
    );
    question(&scene.origin, "/many", &form);
    question(&scene.origin, "/many/found", "found");
    let report = scene.run();
    let found: Vec<String> = asked(&scene)
        .into_iter()
        .filter(|path| path.contains('?'))
        .collect();
    assert_eq!(found.len(), 10, "{found:?}");
    let forms = report.tally.forms;
    assert_eq!((forms.forms, forms.urls, forms.left_out), (1, 10, 15));
    // Each choice at least once.
    for value in 0..5 {
        for name in ["a", "b"] {
            let choice = format!("{name}={value}");
            assert!(
                found.iter().any(|path| path.contains(&choice)),
                "{choice} in {found:?}"
            );
        }
    }
}

#[test]
fn without_a_pattern_no_form_is_filled_in() {
    let scene = Scene::new();
    question(
        &scene.origin,
        "/",
        "<form action=/a><input type=radio name=a value=1><button>x</button></form>",
    );
    question(&scene.origin, "/a", "a");
    let report = scene.run();
    assert_eq!(asked(&scene), set(&["/a"]));
    assert_eq!(report.tally.forms.forms, 0);
}

#[test]
fn a_pattern_that_is_added_later_counts_for_pages_that_are_unchanged() {
    let mut scene = Scene::new();
    scene.page("/", &["/ask"], "home");
    let form = "<form action=/ask/y><input type=radio name=a value=1><button>x</button></form>";
    scene.origin.set("/ask", Page::html(form).etag("\"1\""));
    question(&scene.origin, "/ask/y", "y");
    scene.run();
    answers(&mut scene, &["/ask$"]);
    scene.run();
    assert!(
        scene.asked().contains(&"/ask/y?a=1".to_owned()),
        "{:?}",
        scene.asked()
    );
}
