//! One text under one protocol and mode, and the records of policies on it.

use std::path::Path;
use std::sync::Arc;

use kvr_models::Model;
use kvr_policy::KvCachePolicy;
use serde::{Deserialize, Serialize};

use crate::attention::unfused_warning;
use crate::baseline::{BaselineFile, BaselineWriter, Identity};
use crate::dataset::Dataset;
use crate::protocols::{self, Encoder, Mode, Plan, Protocol, Request};
use crate::record::{Cell, Memory, Provenance, Record, Speed};
use crate::runner::{Outcome, Reference, evaluate};
use crate::session::Session;
use crate::speed::{self, Timing};
use crate::{EvalError, memory, summary};

/// Tokens generated one by one to time decoding, in each of two rounds, the first of which warms up.
const DECODE_TOKENS: usize = 16;

/// The default distance between windows of the strided protocol.
pub const DEFAULT_STRIDE: usize = 512;

/// The settings of an experiment, as sweeps write them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Name of the protocol.
    pub protocol: String,
    /// How the cache is read while scoring.
    pub mode: String,
    /// Tokens in a window; the protocol's own where absent.
    pub ctx: Option<usize>,
    /// Tokens between windows, where the protocol has a choice.
    pub stride: Option<usize>,
    /// Where the answer hides, in percent.
    pub depth: Option<f64>,
    /// At most this many windows, articles or samples.
    pub chunks: Option<usize>,
    /// Tokens appended in one step.
    pub batch: usize,
    /// Seed of synthetic texts.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            protocol: protocols::ALL[0].name().to_owned(),
            mode: Mode::default().name().to_owned(),
            ctx: None,
            stride: None,
            depth: None,
            chunks: None,
            batch: 512,
            seed: 0,
        }
    }
}

/// The policies of one experiment.
pub struct Lineup<'a> {
    /// The policies, the baseline first where it is evaluated here.
    pub policies: &'a [Arc<dyn KvCachePolicy>],
    /// What they are compared with.
    pub reference: Reference<'a>,
    /// Where the first policy's hidden states go.
    pub save: Option<&'a Path>,
}

/// A planned experiment.
pub struct Experiment<'a> {
    model: &'a Model,
    dataset: Dataset,
    protocol: &'static dyn Protocol,
    mode: Mode,
    plan: Plan,
    ctx: usize,
    stride: Option<usize>,
    depth: Option<f64>,
    batch: usize,
    seed: u64,
}

impl std::fmt::Display for Experiment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.protocol.name(), self.ctx, self.mode.name())?;
        self.depth.map_or(Ok(()), |depth| write!(f, " at {depth} %"))
    }
}

impl<'a> Experiment<'a> {
    /// Checks the settings and cuts the windows.
    ///
    /// # Errors
    /// When a setting makes no sense, for itself or for this model, or the text is too short.
    pub fn new(
        model: &'a Model,
        dataset: &Dataset,
        settings: &Settings,
    ) -> Result<Self, EvalError> {
        let protocol = protocols::by_name(&settings.protocol)?;
        let mode: Mode = settings.mode.parse()?;
        mode.check(protocol)?;
        if settings.batch == 0 {
            return Err(EvalError::Setting("--batch 0: append at least one token a step".into()));
        }
        if settings.chunks == Some(0) {
            return Err(EvalError::Setting("--chunks 0: evaluate at least one window".into()));
        }
        let longest = model.decoder.spec().geometry.max_positions;
        let ctx = settings.ctx.unwrap_or_else(|| protocol.default_ctx(longest));
        if ctx > longest {
            return Err(EvalError::Setting(format!(
                "--ctx {ctx}: {} was made for at most {longest} tokens; give --ctx {longest} or less",
                model.name
            )));
        }
        let stride = settings.stride.unwrap_or(DEFAULT_STRIDE.min(ctx));
        let depth = settings.depth.unwrap_or(50.0);
        let dataset = if protocol.synthetic() { Dataset::synthetic() } else { dataset.clone() };
        let plan = protocol.plan(&Request {
            encoder: Encoder::new(model)?,
            text: &dataset.text,
            ctx,
            stride,
            chunks: settings.chunks,
            depth,
            seed: settings.seed,
        })?;
        Ok(Self {
            model,
            dataset,
            protocol,
            mode,
            plan,
            ctx,
            stride: protocol.strides().then_some(stride),
            depth: protocol.hides().then_some(depth),
            batch: settings.batch,
            seed: settings.seed,
        })
    }

    /// Runs every window through a policy's caches and makes no logits: for policies that watch.
    ///
    /// # Errors
    /// When the policy can't serve the model, or the device fails.
    pub fn feed(
        &self,
        policy: &Arc<dyn KvCachePolicy>,
        progress: &mut dyn FnMut(),
    ) -> Result<(), EvalError> {
        let mut session = Session::new(&self.model.decoder, policy, self.mode)?;
        for window in &self.plan.windows {
            session.run(window, self.batch)?;
            progress();
        }
        Ok(())
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.plan.windows.len()
    }

    /// What a record says was measured.
    pub fn cell(&self, policy: &dyn KvCachePolicy) -> Cell {
        Cell {
            model: self.model.name.clone(),
            model_sha256: self.model.sha256.clone(),
            dataset: self.dataset.name.clone(),
            dataset_sha256: self.dataset.sha256.clone(),
            policy: policy.name(),
            policy_config: policy.config(),
            protocol: self.protocol.name().to_owned(),
            protocol_version: self.protocol.version(),
            mode: self.mode.name().to_owned(),
            ctx: self.ctx,
            stride: self.stride,
            depth_percent: self.depth,
            batch_tokens: self.batch,
            chunks: self.plan.blocks(),
            scored_tokens: self.plan.scored(),
            seed: self.seed,
        }
    }

    /// What decides hidden states, the policy apart.
    fn identity(&self) -> Identity {
        let weights = self.model.sha256.as_ref().unwrap_or(&self.model.name);
        let facts = [
            ("weights", weights.clone()),
            ("text", self.dataset.sha256.clone()),
            ("protocol", format!("{} {}", self.protocol.name(), self.protocol.version())),
            ("mode", self.mode.name().to_owned()),
            ("ctx", self.ctx.to_string()),
            ("stride", format!("{:?}", self.stride)),
            ("depth", format!("{:?}", self.depth)),
            ("seed", self.seed.to_string()),
        ];
        facts.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn rows(&self) -> [usize; 2] {
        [self.plan.scored(), self.model.decoder.spec().hidden_size]
    }

    /// Refuses saved hidden states of another experiment.
    ///
    /// # Errors
    /// With the first thing that differs.
    pub fn check_file(&self, file: &BaselineFile) -> Result<(), EvalError> {
        file.check(&self.identity(), self.rows())
    }

    /// Evaluates the policies: one record each, in their order. `progress` is called after every
    /// window of every policy.
    ///
    /// # Errors
    /// When a policy can't serve the model, a file can't be read or written, or the device fails.
    pub fn run(
        &self,
        lineup: &Lineup<'_>,
        provenance: &Provenance,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Record>, EvalError> {
        if let Reference::File(file) = lineup.reference {
            self.check_file(file)?;
        }
        let mut writer = match lineup.save {
            Some(path) => {
                let first = &lineup.policies[0];
                let policy = [("policy", first.name()), ("policy_config", first.config())];
                let policy = policy.map(|(key, value)| (key.to_owned(), value));
                let identity = self.identity().into_iter().chain(policy).collect();
                Some(BaselineWriter::create(path, &identity, self.rows())?)
            }
            None => None,
        };
        let outcomes = evaluate(
            self.model,
            &self.plan,
            (self.mode, self.batch),
            lineup.policies,
            lineup.reference,
            writer.as_mut(),
            progress,
        )?;
        writer.map(BaselineWriter::finish).transpose()?;
        let baseline = match lineup.reference {
            Reference::None => None,
            Reference::First => lineup.policies.first().map(|p| (p.name(), Some(p.config()))),
            Reference::File(file) => {
                Some((file.policy().to_owned(), file.policy_config().map(str::to_owned)))
            }
        };
        let baseline = baseline.as_ref().map(|(name, config)| (&**name, config.as_deref()));
        let pairs = lineup.policies.iter().zip(&outcomes);
        pairs.map(|(p, o)| self.record(p, o, baseline, provenance)).collect()
    }

    fn record(
        &self,
        policy: &Arc<dyn KvCachePolicy>,
        outcome: &Outcome,
        baseline: Option<(&str, Option<&str>)>,
        provenance: &Provenance,
    ) -> Result<Record, EvalError> {
        let cell = self.cell(&**policy);
        let is_baseline = baseline.is_some_and(|(name, config)| match config {
            Some(config) => config == cell.policy_config,
            None => name == cell.policy,
        });
        let comparison = baseline.map(|b| summary::comparison(outcome, b, is_baseline));
        let mut warnings = self.plan.warnings.clone();
        if self.plan.blocks() < 2 {
            warnings.push(
                "a single block of text: no standard error; give more text or --chunks".into(),
            );
        }
        if !policy.promise().streaming_exact {
            warnings.push(format!(
                "{} is not streaming-exact: its numbers depend on --batch ({} tokens a step here)",
                cell.policy, self.batch
            ));
        }
        if self.model.sha256.is_none() {
            warnings.push("random weights: perplexity means nothing, speed and memory do".into());
        }
        let retrieval = self.plan.answers.then(|| summary::retrieval(outcome));
        if is_baseline && retrieval.as_ref().is_some_and(|r| r.exact_match == 0.0) {
            warnings.push("the baseline never gives the whole answer: the model is too weak for exact match to tell policies apart; see tokens right and the answer's loss".into());
        }
        let speed = self.speed(policy, outcome)?;
        if speed.prefill_tok_s.is_some() && outcome.seconds.len() < 4 {
            warnings.push(format!(
                "prefill speed is the median of {} window(s)",
                outcome.seconds.len().saturating_sub(1).max(1)
            ));
        }
        let geometry = &self.model.decoder.spec().geometry;
        let device = self.model.decoder.device();
        warnings.extend(unfused_warning(geometry, &**policy, device)?);
        Ok(Record {
            provenance: provenance.clone(),
            cell,
            quality: Some(summary::quality(outcome)),
            text: self.plan.sizes.as_ref().map(|sizes| summary::text_quality(outcome, sizes)),
            retrieval,
            comparison,
            divergence: summary::divergence(outcome).filter(|_| !is_baseline),
            memory: self.memory(policy)?,
            speed: Some(speed),
            warnings,
        })
    }

    fn speed(
        &self,
        policy: &Arc<dyn KvCachePolicy>,
        outcome: &Outcome,
    ) -> Result<Speed, EvalError> {
        let window = &self.plan.windows[0];
        // Token by token is no prefill; and windows of several sizes have no common speed.
        let one_size = self.plan.windows.iter().all(|w| w.scored.end == window.scored.end);
        let (seconds, total) = summary::window_seconds(&outcome.seconds);
        let seconds = seconds.filter(|_| self.mode != Mode::Decode && one_size);
        let depth = window.tokens.len() / 2;
        let timing =
            Timing { depth, prompt: 0, decode: DECODE_TOKENS, rounds: 1, batch: self.batch };
        let mut session = Session::new(&self.model.decoder, policy, Mode::CacheRead)?;
        let decode = speed::measure(&mut session, &window.tokens, &timing)?;
        Ok(Speed {
            prefill_s: seconds.map(|_| total),
            prefill_tok_s: seconds.map(|s| window.scored.end as f64 / s),
            decode_tok_s: decode.decode_tok_s,
            ..Speed::default()
        })
    }

    fn memory(&self, policy: &Arc<dyn KvCachePolicy>) -> Result<Memory, EvalError> {
        let geometry = &self.model.decoder.spec().geometry;
        // Policies that evict or keep a window cost other bytes a token at other lengths.
        memory::record(geometry, &**policy, self.ctx, self.model.decoder.device())
    }
}
