-- MLflow's database is made by the image's own start; Prefect's is beside it.
CREATE DATABASE factorgrid_prefect;
