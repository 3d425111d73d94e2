//! A [`Report`] as one HTML page with inline SVG: nothing is fetched, so it can be kept and mailed.

use std::fmt::Write;

use crate::report::Report;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#24190f;--soft:#6f5f51;--line:#e7dccf;--ground:#faf6f1;--fill:#b93c08}\
@media(prefers-color-scheme:dark){:root{--ink:#f5ece3;--soft:#b7a595;--line:#3a2f27;--ground:#17120e;--fill:#fb923c}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:62rem;margin:2rem auto;\
padding:0 1rem}table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .7rem;text-align:right;\
border-bottom:1px solid var(--line)}th:first-child{text-align:left}caption{text-align:left;color:var(--soft)}\
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}.soft{color:var(--soft)}\
.big{font-size:2rem;font-weight:700;margin:.2rem 0}";

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let mut page = String::new();
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let (low, high) = self.accuracy_interval;
        // Writing into a text cannot fail.
        let _ = write!(
            page,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><title>Evaluation of {model}</title><style>{STYLE}</style>\
             </head><body><h1>Evaluation of {model}</h1><p class=\"soft\">{data}. Computed by {runtime}.</p>\
             <p class=\"big\">{accuracy} right</p><p>{correct} of {examples} photos; 95% interval {low} to {high}. \
             Among the two likeliest: {top2}; three: {top3}. Calibration error {ece:.3}, log loss {loss:.3}, \
             Brier {brier:.3}, macro F1 {f1:.3}.</p>",
            model = escape(&self.model),
            data = escape(&self.data),
            runtime = escape(if self.runtime.is_empty() { "the trained head" } else { &self.runtime }),
            accuracy = percent(self.accuracy),
            correct = self.correct,
            examples = self.examples,
            low = percent(low),
            high = percent(high),
            top2 = percent(self.top2_accuracy),
            top3 = percent(self.top3_accuracy),
            ece = self.ece,
            loss = self.log_loss,
            brier = self.brier,
            f1 = self.macro_f1,
        );
        self.classes(&mut page);
        page.push_str("<h2>What is taken for what</h2>");
        self.confusion_chart(&mut page);
        page.push_str("<h2>Is it as sure as it is right?</h2>");
        self.reliability_chart(&mut page);
        self.rest(&mut page);
        page.push_str("</body></html>\n");
        page
    }

    fn classes(&self, page: &mut String) {
        page.push_str(
            "<h2>Classes</h2><table><thead><tr><th scope=\"col\">Class</th><th scope=\"col\">Photos</th>\
             <th scope=\"col\">Precision</th><th scope=\"col\">Recall</th><th scope=\"col\">95% interval</th>\
             <th scope=\"col\">F1</th></tr></thead><tbody>",
        );
        let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        for class in &self.per_class {
            let (low, high) = class.recall_interval;
            let _ = write!(
                page,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{low:.2} - {high:.2}</td>\
                 <td>{}</td></tr>",
                escape(&class.class),
                class.support,
                figure(class.precision),
                figure(class.recall),
                figure(class.f1),
            );
        }
        page.push_str("</tbody></table>");
    }

    fn confusion_chart(&self, page: &mut String) {
        const CELL: usize = 44;
        const LEFT: usize = 130;
        let side = self.confusion.len() * CELL;
        let _ = write!(
            page,
            "<svg viewBox=\"0 0 {} {}\" width=\"{}\" role=\"img\" aria-label=\"Confusion matrix: rows are true classes, \
             columns what the model says\">",
            LEFT + side,
            side + 100,
            LEFT + side
        );
        for (row, counts) in self.confusion.iter().enumerate() {
            let name = escape(&self.per_class[row].class);
            let total = counts.iter().sum::<u64>().max(1) as f64;
            let middle = row * CELL + CELL / 2 + 4;
            let _ = write!(page, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>", LEFT - 8);
            for (column, count) in counts.iter().enumerate() {
                let (x, y) = (LEFT + column * CELL, row * CELL);
                let share = *count as f64 / total;
                let _ = write!(
                    page,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"var(--fill)\" \
                     fill-opacity=\"{:.3}\" stroke=\"var(--line)\"/>",
                    share * 0.85
                );
                if *count > 0 {
                    let _ = write!(
                        page,
                        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"middle\">{count}</text>",
                        x + CELL / 2
                    );
                }
            }
            let x = LEFT + row * CELL + CELL / 2;
            let _ = write!(
                page,
                "<text transform=\"translate({x} {}) rotate(-45)\" text-anchor=\"end\">{name}</text>",
                side + 16
            );
        }
        page.push_str("</svg>");
    }

    fn reliability_chart(&self, page: &mut String) {
        const SIDE: f64 = 300.0;
        page.push_str(
            "<svg viewBox=\"-45 -10 360 350\" width=\"420\" role=\"img\" aria-label=\"Reliability: accuracy over \
             confidence; the line is perfect calibration\"><rect width=\"300\" height=\"300\" fill=\"none\" \
             stroke=\"var(--line)\"/><path d=\"M0 300L300 0\" stroke=\"var(--soft)\" stroke-dasharray=\"4 4\"/>",
        );
        let most = self.reliability.iter().map(|bin| bin.count).max().unwrap_or(1) as f64;
        for bin in &self.reliability {
            let _ = write!(
                page,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--fill)\" \
                 fill-opacity=\"{:.2}\"><title>{} photos, confidence {:.2}, right {:.2}</title></rect>",
                bin.low * SIDE + 1.0,
                SIDE - bin.accuracy * SIDE,
                (bin.high - bin.low) * SIDE - 2.0,
                bin.accuracy * SIDE,
                0.25 + 0.7 * bin.count as f64 / most,
                bin.count,
                bin.confidence,
                bin.accuracy
            );
        }
        page.push_str(
            "<text x=\"150\" y=\"325\" text-anchor=\"middle\">confidence, 0 to 1</text>\
             <text transform=\"translate(-12 150) rotate(-90)\" text-anchor=\"middle\">right, 0 to 1</text></svg>\
             <p class=\"soft\">Darker bars hold more photos.</p>",
        );
    }

    fn rest(&self, page: &mut String) {
        if !self.robustness.is_empty() {
            page.push_str("<h2>The same photos, spoilt</h2><table><thead><tr><th scope=\"col\">How</th><th scope=\"col\">Right</th><th scope=\"col\">95% interval</th><th scope=\"col\">Lost</th></tr></thead><tbody>");
            for slice in &self.robustness {
                let (low, high) = slice.accuracy_interval;
                let _ = write!(
                    page,
                    "<tr><th scope=\"row\">{}</th><td>{:.3}</td><td>{low:.3} - {high:.3}</td><td>{:+.3}</td></tr>",
                    escape(&slice.name.replace('_', " ")),
                    slice.accuracy,
                    slice.drop
                );
            }
            page.push_str("</tbody></table>");
        }
        if let Some(paired) = &self.paired {
            let _ = write!(
                page,
                "<h2>Beside {}</h2><p>The other model finds {:.3}. Both right on {} photos, only this one on {}, only the \
                 other on {}, neither on {}; McNemar's exact test: p = {:.4}.</p>",
                escape(&paired.against),
                paired.accuracy,
                paired.both,
                paired.gained,
                paired.lost,
                paired.neither,
                paired.mcnemar_p
            );
        }
        if let Some(times) = &self.latency {
            let _ = write!(
                page,
                "<h2>Time and memory</h2><p>One photo, decoded already, on one thread of this machine: half within \
                 {:.1} ms, 99 of 100 within {:.1} ms ({} measurements).",
                times.p50_ms, times.p99_ms, times.count
            );
            if let Some(memory) = self.peak_memory_mib {
                let _ = write!(page, " The evaluation took {memory:.0} MiB at most.");
            }
            page.push_str("</p>");
        }
        if !self.skipped.is_empty() {
            page.push_str("<h2>Left out</h2><ul>");
            for file in &self.skipped {
                let _ = write!(page, "<li>{}</li>", escape(file));
            }
            page.push_str("</ul>");
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Outcome;

    #[test]
    fn the_page_shows_the_figures_and_hides_nothing_in_markup() {
        let outcomes: Vec<Outcome> = (0..40)
            .map(|i| Outcome {
                label: i % 2,
                probabilities: if i % 5 == 0 { vec![0.4, 0.6] } else { vec![0.9, 0.1] },
            })
            .collect();
        let mut report =
            Report::of("<b>model</b>", "40 photos", &["bread & butter", "soup"], &outcomes).unwrap();
        report.spoilt("low_light", &outcomes).unwrap();
        report.compare("old", &outcomes, &outcomes);
        report.skipped.push("a<b.jpg: empty".into());
        let page = report.to_html();
        assert!(page.contains("&lt;b&gt;model&lt;/b&gt;") && !page.contains("<b>model"));
        assert!(
            page.contains("bread &amp; butter") && page.contains("low light") && page.contains("a&lt;b.jpg")
        );
        assert_eq!(page.matches("<svg").count(), 2);
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
    }
}
