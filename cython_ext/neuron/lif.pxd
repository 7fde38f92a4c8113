"""The neuron in closed form, lif.h, for the Cython modules. Twin: eventsnn/reference/lif.py."""

cdef extern from "lif.h":
    const double LIF_TOUCH
    const double LIF_CANDIDATE
    const double LIF_LIMIT_SLACK
    ctypedef struct lif_t:
        double threshold, reset, tau_m, tau_s, refractory
        double gain, rate, tau_slow, psp_max, rate_m, rate_s, apart, near
        double series[10][2]
        double slopes[10][2]
        double rested[10][2]
    void lif_respond(const lif_t* c, double d, double* a, double* h, double* b) noexcept nogil
    void lif_tangent(const lif_t* c, double gap, double* by_u, double* by_i) noexcept nogil
    double lif_reach(const lif_t* c, double u, double i) noexcept nogil
    double lif_next_crossing(const lif_t* c, double u0, double i0, double limit) noexcept nogil
    double lif_next_spike(const lif_t* c, double u, double i, double now, double end, double until) noexcept nogil
    double lif_after_refractory(const lif_t* c, double i, double now, double end, double then) noexcept nogil
    double decay_e(double x) noexcept nogil
    double decay_rise(double x) noexcept nogil
