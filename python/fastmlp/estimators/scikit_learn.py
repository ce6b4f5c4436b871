"""What the estimators use of scikit-learn 1.6 and later that is private, or not in all versions, in one place."""

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as rows_of
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.optimize import _check_optimize_result as check_optimize_result
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9, which has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: estimators have no set_callbacks."""

    def with_callbacks(method):  # type: ignore[no-untyped-def]
        return method


CALLBACK_ATTRIBUTES = ("_skl_callbacks", "_parent_callback_ctx", "_callback_fit_ctx", "_skl_callbacks_to_teardown")
"""What scikit-learn keeps in an estimator that has callbacks, the last two during a fit."""

__all__ = [
    "CALLBACK_ATTRIBUTES",
    "CallbackSupportMixin",
    "Interval",
    "Options",
    "StrOptions",
    "check_optimize_result",
    "check_sample_weight",
    "fit_context",
    "rows_of",
    "with_callbacks",
]
