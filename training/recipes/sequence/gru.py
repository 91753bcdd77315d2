"""What comes next in a monthly series, by gated recurrent units that correct exponential smoothing.

Network: exponential smoothing of the last 48 months, within the graph; what it did not foresee, month by month and
relative to how far one lies from the next, goes through 16 units with update and reset gates, and the last state says
how far the level and its slope are from the smoothing's. A correction has its price in training, so it is made where it
is worth something: of short histories most.
Source: Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014; Smyl, A hybrid method of
exponential smoothing and recurrent neural networks, International Journal of Forecasting 36:75, 2020.
Data: turnover of Australian cafes, 426 months from 1982 on, the longest monthly series at hand (ABS, CC BY 4.0): 246
months to train with, 84 to choose with and to find the intervals' widths, the last 96 held out. What is served has
learned from the first 330.
Expected: a mean absolute scaled error of 1.06. Exponential smoothing of the whole history, with seasons that multiply,
has 0.98; the difference of 0.08 has a 95 % interval of -0.02 to 0.17, over forecasts that overlap. The seasonal naive
forecast has 2.8. Run time: a minute on one core.
Limits: one series, in which turnover grows; of another one it knows only what its history says.
"""

from training.kinds import series

RECIPE = series.recipe(
    "gru",
    slight=0.01,  # two deviations of three seeds
    description="Forecasts monthly series by gated recurrent units, with prediction intervals.",
    hyper=series.Hyper(),
)
