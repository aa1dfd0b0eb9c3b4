//! What filters count, under one name for all threads.

use ::filter::{BOUNDS, Metric, MetricType};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// All metrics of filters.
#[derive(Default)]
pub struct Registry(Mutex<BTreeMap<(String, u8), Arc<Metric>>>);

/// One metric as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// As the filter named it.
    pub name: String,
    /// What it counts.
    pub kind: MetricType,
    /// Its value; of a histogram the sum.
    pub value: u64,
    /// Of a histogram how many values were at most each of its bounds, and at all.
    pub cumulated: Vec<u64>,
}

/// There are so many at most; filters that make up names get the last ones of no name.
const MOST: usize = 16 << 10;

impl Registry {
    /// The metric of this name and kind, made if there is none.
    pub(crate) fn metric(&self, kind: MetricType, name: &str) -> Arc<Metric> {
        let mut metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), kind as u8);
        if let Some(known) = metrics.get(&key) {
            return Arc::clone(known);
        }
        let metric = Arc::new(Metric::new(kind));
        if metrics.len() < MOST {
            metrics.insert(key, Arc::clone(&metric));
        }
        metric
    }

    /// All of them.
    pub fn samples(&self) -> Vec<Sample> {
        let metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = |((name, _), metric): (&(String, u8), &Arc<Metric>)| Sample {
            name: name.clone(),
            kind: metric.kind(),
            value: metric.value(),
            cumulated: metric.cumulated(),
        };
        metrics.iter().map(sample).collect()
    }

    /// All of them in the text form of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for sample in self.samples() {
            sample.write(&mut text);
        }
        text
    }
}

impl Sample {
    fn write(&self, to: &mut String) {
        let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
        let name: String = self.name.chars().map(letter).collect();
        let kind = match self.kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let Ok(()) = writeln!(to, "{line}") else { return };
        };
        line(format_args!("# TYPE wharf_filter_{name} {kind}"));
        let Some(count) = self.cumulated.last() else {
            // A gauge below zero is one, in the numbers of the ABI.
            let value = self.value.cast_signed();
            return line(format_args!("wharf_filter_{name} {value}"));
        };
        for (bound, seen) in BOUNDS.iter().zip(&self.cumulated) {
            line(format_args!("wharf_filter_{name}_bucket{{le=\"{bound}\"}} {seen}"));
        }
        line(format_args!("wharf_filter_{name}_bucket{{le=\"+Inf\"}} {count}"));
        line(format_args!("wharf_filter_{name}_sum {}", self.value));
        line(format_args!("wharf_filter_{name}_count {count}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_as_prometheus_reads_them() {
        let registry = Registry::default();
        registry.metric(MetricType::Counter, "my.requests").increment(2).unwrap();
        registry.metric(MetricType::Counter, "my.requests").increment(1).unwrap();
        registry.metric(MetricType::Gauge, "level").increment(-1).unwrap();
        registry.metric(MetricType::Histogram, "time").record(7);
        let text = registry.text();
        for line in [
            "# TYPE wharf_filter_my_requests counter",
            "wharf_filter_my_requests 3",
            "wharf_filter_level -1",
            "wharf_filter_time_bucket{le=\"5\"} 0",
            "wharf_filter_time_bucket{le=\"10\"} 1",
            "wharf_filter_time_bucket{le=\"+Inf\"} 1",
            "wharf_filter_time_sum 7",
            "wharf_filter_time_count 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
