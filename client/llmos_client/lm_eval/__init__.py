"""A model of a daemon, judged by lm-evaluation-harness: `python -m llmos_client.lm_eval`.

The harness (Gao et al., 2021) is a library of its own, `pip install 'llmos[lm-eval]'`; only `model`
imports it.
"""
