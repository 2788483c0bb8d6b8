//! One text under one protocol and mode, and the records of policies on it.

mod record;
mod settings;

use std::sync::Arc;

use kvr_models::{Lengths, Model};
use kvr_policy::KvCachePolicy;

use crate::EvalError;
use crate::record::{Cell, Provenance, Record};
use crate::run::baseline::{BaselineFile, BaselineWriter, Identity};
use crate::run::dataset::Dataset;
use crate::run::modes::Mode;
use crate::run::protocols::{self, Encoder, Plan, Protocol, Request};
use crate::run::runner::{Reference, evaluate};
use crate::run::session::Session;

pub use self::settings::{DEFAULT_STRIDE, Lineup, Settings};

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
    /// When a setting is out of range, by itself or for this model, or the text is too short.
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
                "--ctx {ctx}: {} was made for at most {longest} tokens; give --ctx {longest} or \
                less",
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

    /// Refuses a policy that can't serve this model, mode or length, before anything is computed.
    ///
    /// # Errors
    /// Why it can't.
    pub fn check(&self, policy: &dyn KvCachePolicy) -> Result<(), EvalError> {
        self.mode.serves(policy)?;
        let lengths = self.plan.windows.first().map(|window| self.mode.lengths(window));
        let lengths = lengths.unwrap_or(Lengths::of(self.ctx));
        self.model.decoder.caches(policy, 1, lengths)?;
        Ok(())
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
        let mut session =
            Session::new(&self.model.decoder, policy, self.mode, Lengths::of(self.ctx))?;
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

    /// Evaluates the policies: a record each, in their order, or why there is none. One that fails
    /// does not stop the others. `progress` is called after every window of every policy.
    ///
    /// # Errors
    /// When a policy can't serve the model, or a file can't be read or written.
    pub fn run(
        &self,
        lineup: &Lineup<'_>,
        provenance: &Provenance,
        progress: &mut dyn FnMut(),
    ) -> Result<Vec<Result<Record, EvalError>>, EvalError> {
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
        let first = outcomes.first().is_some_and(Result::is_ok);
        // Hidden states that lack windows are not given a name.
        writer.filter(|_| first).map(BaselineWriter::finish).transpose()?;
        let baseline = match lineup.reference {
            Reference::None => None,
            Reference::First if !first => None,
            Reference::First => lineup.policies.first().map(|p| (p.name(), Some(p.config()))),
            Reference::File(file) => {
                Some((file.policy().to_owned(), file.policy_config().map(str::to_owned)))
            }
        };
        let baseline = baseline.as_ref().map(|(name, config)| (&**name, config.as_deref()));
        let lost = matches!(lineup.reference, Reference::First) && !first;
        let results = lineup.policies.iter().zip(outcomes).map(|(policy, outcome)| {
            let mut record = self.record(policy, &outcome?, baseline, provenance)?;
            if lost {
                let name = lineup.policies[0].name();
                record.warnings.push(format!("not compared: the baseline {name} failed"));
            }
            Ok(record)
        });
        Ok(results.collect())
    }
}
