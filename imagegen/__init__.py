"""The package that the course *Image Generation with Diffusion Models* grows.

A function is written out in the chapter that teaches it, lives here, and is imported ever after.
Text, code and pictures use the same letters:

    x0                      clean picture or latent
    eps                     noise drawn from N(0, 1)
    xt                      noisy picture or latent
    t                       integer step: 0 is nearly clean, T - 1 is noise
    beta[t]                 variance of the noise added in step t
    alpha[t]                1 - beta[t]
    alpha_bar[t]            alpha[0] * ... * alpha[t]   (diffusers: alphas_cumprod)
    eps_hat, x0_hat, v_hat  what a network predicts
    w                       guidance scale as in diffusers: 1 is the conditional prediction alone

    xt = sqrt(alpha_bar[t]) * x0 + sqrt(1 - alpha_bar[t]) * eps
"""

__version__ = "0.1.0"

# The only place that names the public repository. In a fork, change these two lines and run
# `make stamp`: it writes them into every badge, every first cell and the README.
REPOSITORY = "https://github.com/OWNER/image-generation"
REVISION = "main"
