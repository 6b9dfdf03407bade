"""Where things are, and what may be set."""

from pathlib import Path

import pytest

from app.domain.failures import StokerError
from app.domain.money import Micro
from app.settings import EdgeSettings, Home, HostSettings, Settings, find_home, load_presets, load_rules, load_settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = find_home({"STOKER_HOME": str(tmp_path / "home")})
    home.make()
    return home


class TestHome:
    def test_one_directory_for_everything(self) -> None:
        assert find_home({"STOKER_HOME": "/srv/stoker", "XDG_STATE_HOME": "/x"}) == Home(
            Path("/srv/stoker"), Path("/srv/stoker")
        )

    def test_a_relative_one_is_where_we_stand(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        assert find_home({"STOKER_HOME": "here"}).state == tmp_path / "here"

    def test_the_directories_of_the_user(self) -> None:
        assert find_home({"HOME": "/home/ada"}) == Home(
            Path("/home/ada/.local/state/stoker"), Path("/home/ada/.config/stoker")
        )
        assert find_home({"HOME": "/home/ada", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"}) == Home(
            Path("/s/stoker"), Path("/c/stoker")
        )

    def test_an_empty_variable_is_none(self) -> None:
        empty = {"HOME": "/home/ada", "STOKER_HOME": "", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""}
        assert find_home(empty) == find_home({"HOME": "/home/ada"})

    def test_nobody_else_may_look_in(self, home: Home) -> None:
        made = [home.state, *(p for p in home.state.iterdir() if p.is_dir())]
        assert {p.stat().st_mode & 0o777 for p in made} == {0o700}
        assert {home.attempts, home.keys, home.spool, home.models, home.backups} <= set(made)
        home.make()


class TestRuntime:
    def test_sockets_have_a_short_path_of_their_own_for_every_home(self, home: Home, tmp_path: Path) -> None:
        assert len(str(home.runtime)) < 40
        assert home.runtime != find_home({"STOKER_HOME": str(tmp_path / "other")}).runtime

    def test_a_directory_that_others_may_enter_is_refused(self, home: Home) -> None:
        path = home.make_runtime()
        try:
            assert path.stat().st_mode & 0o777 == 0o700
            path.chmod(0o755)
            with pytest.raises(StokerError, match="CONFIG_INVALID"):
                home.make_runtime()
        finally:
            path.rmdir()


class TestConfig:
    def test_no_file_is_a_valid_one(self, home: Home) -> None:
        assert load_settings(home) == Settings()

    def test_what_is_set(self, home: Home) -> None:
        (home.config / "config.toml").write_text(
            '[server]\nresume_after_reboot = true\nenv = {HF_HOME = "/data"}\n[edge]\nport = 9000\nqueue_time = 3\n'
        )
        found = load_settings(home)
        assert found.server.resume_after_reboot is True
        assert found.server.env == {"HF_HOME": "/data"}
        assert found.edge == EdgeSettings(port=9000, queue_time=3)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[edge]\nprot = 1", "unknown key `edge.prot`"),
            ("[edeg]\nport = 1", "unknown key `edeg`"),
            ('[edge]\nport = "8400"', "`edge.port` must be int, not '8400'"),
            ("[edge]\nport = true", "`edge.port` must be int, not True"),
            ("[edge]\nport = -1", "`edge.port` must be int, not -1"),
            ("[edge]\nport = 1.5", "`edge.port` must be int, not 1.5"),
            ("[edge]\nqueue_time = nan", "`edge.queue_time` must be float, not nan"),
            ("[edge]\nqueue_time = inf", "`edge.queue_time` must be float, not inf"),
            ("[edge]\nhost = 1", "`edge.host` must be str, not 1"),
            ("[server]\nresume_after_reboot = 1", "`server.resume_after_reboot` must be bool"),
            ("[server]\nenv = {A = 1}", "`server.env` must be"),
            ("[server]\nenv = 3", "`server.env` must be"),
            ("server = 3", "`server` must be"),
            ("hosts = 3", "`hosts` must be"),
            ("[hosts]\ngpu1 = 3", "`hosts.gpu1` must be a table, not 3"),
            ("[hosts.gpu1]\nregion = 'eu'", "`hosts.gpu1.address` is missing"),
            ("[hosts.gpu1]\naddress = 'gpu1'\nprize = 1", "unknown key `hosts.gpu1.prize`"),
            ("[hosts.gpu1]\naddress = 'gpu1'\nprice = -1", "`hosts.gpu1.price`: `-1` is no amount"),
            ("[hosts.gpu1]\naddress = '-oProxyCommand=id'", "`hosts.gpu1`: `-oProxyCommand=id` is no address"),
            ("[hosts.'../x']\naddress = 'gpu1'", "`../x` is no name for a host"),
            ("[hosts.local]\naddress = 'gpu1'", "`local` is this machine"),
            ("[edge\n", "config.toml: "),
            ("[edge]\nport = 1\nport = 2", "config.toml: "),
        ],
    )
    def test_what_cannot_be_set(self, home: Home, text: str, said: str) -> None:
        (home.config / "config.toml").write_text(text)
        with pytest.raises(StokerError) as caught:
            load_settings(home)
        assert caught.value.code == "CONFIG_INVALID"
        assert said in caught.value.message
        assert "config.toml" in caught.value.message
        assert caught.value.remedy

    def test_hosts_by_name(self, home: Home) -> None:
        (home.config / "config.toml").write_text(
            '[hosts.gpu1]\naddress = "ada@10.0.0.7:2222"\n'
            '[hosts.gpu2]\naddress = "ssh://gpu2"\nregion = "eu"\nprice = "0.6"\n'
        )
        found = load_settings(home).hosts
        gpu2 = HostSettings("ssh://gpu2", "eu", "", Micro(600_000))
        assert found == {"gpu1": HostSettings("ada@10.0.0.7:2222"), "gpu2": gpu2}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('faults = ["boom"]', "`boom` is no fault; give none, capacity"),
            ('faults = ["timeout"]', "`timeout` is no fault"),
            ('gpus = 1\ngpu = "Voodoo 2"', "Give `vram` in GiB"),
            ("price = 0.6", "an amount in quotes"),
        ],
    )
    def test_a_simulated_host_that_cannot_be(self, home: Home, text: str, said: str) -> None:
        (home.config / "config.toml").write_text(f"[simulated.sim-a]\n{text}\n")
        with pytest.raises(StokerError, match="CONFIG_INVALID") as caught:
            load_settings(home)
        assert said in caught.value.message

    def test_a_name_is_one_host(self, home: Home) -> None:
        (home.config / "config.toml").write_text('[hosts.gpu1]\naddress = "ssh://gpu1"\n[simulated.gpu1]\ngpus = 0\n')
        with pytest.raises(StokerError, match="two hosts `gpu1`"):
            load_settings(home)

    def test_the_nearest_key_is_named(self, home: Home) -> None:
        (home.config / "config.toml").write_text("[edge]\nprot = 1")
        with pytest.raises(StokerError) as caught:
            load_settings(home)
        assert caught.value.remedy == "Did you mean `edge.port`?"

    def test_a_file_that_is_no_text(self, home: Home) -> None:
        for data in (b"\xff\xfe[\x00", b"\x00"):
            (home.config / "config.toml").write_bytes(data)
            with pytest.raises(StokerError, match="CONFIG_INVALID"):
                load_settings(home)

    def test_a_directory_in_its_place(self, home: Home) -> None:
        (home.config / "config.toml").mkdir()
        with pytest.raises(StokerError, match="CONFIG_INVALID"):
            load_settings(home)


class TestOwn:
    def test_a_preset_of_ones_own_joins_those_that_ship(self, home: Home) -> None:
        shipped = load_presets(home)
        assert "llama.cpp" in shipped
        (home.config / "engines.toml").write_text(
            '["my.cpp"]\nformats = ["gguf"]\ncommand = ["my"]\narguments = []\nowned = []\nkey_env = "K"\n'
            'health = "/h"\ncontext = 1\nseqs = 1\nkv_types = ["f16"]\n'
        )
        assert load_presets(home).keys() == shipped.keys() | {"my.cpp"}

    def test_a_broken_preset_is_named(self, home: Home) -> None:
        (home.config / "engines.toml").write_text('["my.cpp"]\nformats = []\n')
        with pytest.raises(StokerError, match=r"engines\.toml: missing field"):
            load_presets(home)

    def test_a_rule_of_ones_own_comes_first(self, home: Home) -> None:
        shipped = load_rules(home)
        (home.config / "failures.toml").write_text('[[rule]]\nid = "mine"\ncode = "DISK_FULL"\npattern = "full"\n')
        assert [rule.id for rule in load_rules(home)] == ["mine", *(rule.id for rule in shipped)]
