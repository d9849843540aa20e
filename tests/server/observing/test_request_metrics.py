"""What is counted of requests, and for whom."""

from prometheus_client import CollectorRegistry

from llmosd.observing.request_metrics import Pace, RequestMetrics

DURATION = "gen_ai_server_request_duration_seconds_count"
FIRST = "gen_ai_server_time_to_first_token_seconds_count"
PER_TOKEN = "gen_ai_server_time_per_output_token_seconds_count"


def value(registry, name, model, error=""):
    labels = {
        "gen_ai_operation_name": "chat", "gen_ai_provider_name": "llmos",
        "gen_ai_request_model": model, "error_type": error,
    }  # fmt: skip
    return registry.get_sample_value(name, labels)


def test_failures_have_no_pace():
    """A first token that came before the failure is no figure of how fast answers come."""
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    metrics.ended("chat", "m", 2.0, pace=Pace(0.5, 0.1))
    metrics.ended("chat", "m", 2.0, error="ENGINE_LOST", pace=Pace(0.5, 0.1))
    metrics.ended("chat", "m", 2.0, pace=Pace(0.5))
    assert value(registry, DURATION, "m") == 2
    assert value(registry, DURATION, "m", "ENGINE_LOST") == 1
    assert value(registry, FIRST, "m") == 2
    assert value(registry, PER_TOKEN, "m") == 1
    assert value(registry, FIRST, "m", "ENGINE_LOST") is None
    assert registry.get_sample_value("llmos_requests_rejected_total", {"model": "m"}) is None


def test_only_installed_models_are_kept():
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    for model in ("", "kept", "gone"):
        metrics.refused("chat", model, 0.1, "QUEUE_FULL")
        metrics.ended("chat", model, 0.1, pace=Pace(0.1, 0.1))
    metrics.prune(lambda model: model in {"kept", "never-asked"})
    for name in (DURATION, FIRST, PER_TOKEN):
        assert [value(registry, name, model) for model in ("", "kept", "gone")] == [1, 1, None]
    assert value(registry, DURATION, "gone", "QUEUE_FULL") is None
    refused = [
        registry.get_sample_value(
            "llmos_requests_rejected_total", {"model": model, "reason": "QUEUE_FULL"}
        )
        for model in ("", "kept", "gone")
    ]
    assert refused == [1, 1, None]
