//! A number that a policy can't hold is counted, refused or right; it is never just another number.

use burn::Tensor;
use burn::tensor::TensorData;

use super::{Failure, Kit};
use crate::evict::host;
use crate::{Append, Step};

/// Far beyond half precision and what blocks with scales in half precision hold; products with
/// queries are still far within f32.
const HUGE: f32 = 1e25;

/// Tokens of the step, and where one key has a huge value: not where a rule of thumb would look.
const TOKENS: usize = 70;
const TOKEN: usize = 13;
const CHANNEL: usize = 9;

impl Kit<'_> {
    /// One value of one key is huge: the policy refuses the step, counts overflows in its context,
    /// or decodes the value again and answers with numbers.
    pub(super) fn overflows(&self) -> Result<(), Failure> {
        let rule = "values that a format can't hold are counted";
        let context = self.context.counting();
        let cache = self.policy.layer(&self.geometry, &context);
        let mut cache = cache.map_err(|e| self.fail(rule, e.to_string()))?;
        let Ok(output) = cache.step(self.with_one_huge_key()).and_then(host) else {
            return Ok(());
        };
        let counted = context.overflows().map_err(|e| self.fail(rule, e.to_string()))?;
        if counted.lost > 0 {
            return Ok(());
        }
        let found = |what: String| {
            let remedy = "count it with Context::count where PackedCache does not store it";
            Err(self.fail(rule, format!("{what}, and no overflow was counted: {remedy}")))
        };
        if let Some(bad) = output.iter().find(|x| !x.is_finite()) {
            return found(format!("with a key of {HUGE:e} an output is {bad}"));
        }
        let view = cache.view();
        let held = view.positions(0, 0).iter().position(|position| *position == TOKEN);
        let Some(at) = held else { return Ok(()) };
        let rows = kvr_kernels::rows(&*view, at..at + 1);
        let (keys, _) = rows.map_err(|e| self.fail(rule, e.to_string()))?;
        let key = host(keys).map_err(|e| self.fail(rule, e.to_string()))?;
        let value = key[CHANNEL];
        match (value / HUGE - 1.0).abs() < 0.5 {
            true => Ok(()),
            false => found(format!("a key of {HUGE:e} became {value:e}")),
        }
    }

    /// The first tokens, of which one has a huge value in one channel of the first head.
    fn with_one_huge_key(&self) -> Step {
        let step = self.rows.step(0, TOKENS);
        let [b, h, s, d] = step.new.keys.dims();
        let mut huge = vec![0.0; b * h * s * d];
        huge[TOKEN * d + CHANNEL] = HUGE;
        let huge: Tensor<4> =
            Tensor::from_data(TensorData::new(huge, [b, h, s, d]), &self.context.device);
        Step { new: Append { keys: step.new.keys.clone() + huge, ..step.new.clone() }, ..step }
    }
}
