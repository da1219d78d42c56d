"""References that the methods paragraph cites."""

REFERENCES = {
    "richardson": "Richardson et al. Frontiers in Nuclear Medicine. 2025. doi:10.3389/fnume.2025.1593825",
    "snakemake": (
        "Mölder F, et al. Sustainable data analysis with Snakemake. F1000Research. 2021;10:33. "
        "doi:10.12688/f1000research.29032.2"
    ),
    "suv": (
        "Vacha et al. Comprehensive manual for SUV computation and digital reference objects. 2026. "
        "github.com/oncoray/suv_computation"
    ),
    "simpleitk": (
        "Lowekamp BC, et al. The design of SimpleITK. Front Neuroinform. 2013;7:45. doi:10.3389/fninf.2013.00045"
    ),
    "agatston": (
        "Agatston AS, et al. Quantification of coronary artery calcium using ultrafast computed tomography. "
        "J Am Coll Cardiol. 1990;15:827-832. doi:10.1016/0735-1097(90)90282-T"
    ),
    "wilcoxon": (
        "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin. 1945;1:80-83. doi:10.2307/3001968"
    ),
    "hodges": (
        "Hodges JL, Lehmann EL. Estimates of location based on rank tests. Ann Math Stat. 1963;34:598-611. "
        "doi:10.1214/aoms/1177704172"
    ),
    "mann": (
        "Mann HB, Whitney DR. On a test of whether one of two random variables is stochastically larger than the "
        "other. Ann Math Stat. 1947;18:50-60. doi:10.1214/aoms/1177730491"
    ),
    "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat. 1979;6:65-70.",
    "bids": (
        "Gorgolewski KJ, et al. The brain imaging data structure, a format for organizing and describing outputs of "
        "neuroimaging experiments. Sci Data. 2016;3:160044. doi:10.1038/sdata.2016.44"
    ),
    "cohen": "Cohen J. Weighted kappa. Psychol Bull. 1968;70:213-220. doi:10.1037/h0026256",
    "shrout": (
        "Shrout PE, Fleiss JL. Intraclass correlations: uses in assessing rater reliability. Psychol Bull. "
        "1979;86:420-428. doi:10.1037/0033-2909.86.2.420"
    ),
    "bland": (
        "Bland JM, Altman DG. Measuring agreement in method comparison studies. Stat Methods Med Res. 1999;8:135-160. "
        "doi:10.1177/096228029900800204"
    ),
    "hartigan": "Hartigan JA. Using subsample values as typical values. J Am Stat Assoc. 1969;64:1303-1317.",
    "spearman": (
        "Spearman C. The proof and measurement of association between two things. Am J Psychol. 1904;15:72-101. "
        "doi:10.2307/1412159"
    ),
    "field": (
        "Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B. 2007;69:369-390. "
        "doi:10.1111/j.1467-9868.2007.00593.x"
    ),
    "laird": (
        "Laird NM, Ware JH. Random-effects models for longitudinal data. Biometrics. 1982;38:963-974. "
        "doi:10.2307/2529876"
    ),
    "lin": (
        "Lin C, et al. Repeatability of quantitative 18F-NaF PET: a multicenter study. J Nucl Med. 2016;57:1872-1879. "
        "doi:10.2967/jnumed.116.177295"
    ),
}
"""Key used in the text, and the entry as a paper prints it."""
