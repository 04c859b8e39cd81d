package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// seed begins all data: every run makes the same.
const seed = 20260118

// region is the county's division code.
const region = "500154"

// zone is where the county lies.
var zone = time.FixedZone("+08:00", 8*3600)

// words draws names, numbers and days. Not safe for concurrent use.
type words struct{ r *rand.Rand }

// newWords begins one stream of draws; each kind of data has its own, so that
// one can change without the others.
func newWords(stream uint64) words {
	return words{rand.New(rand.NewPCG(seed, stream))}
}

func pick[T any](w words, from []T) T { return from[w.r.IntN(len(from))] }

// chance is true n times in a hundred.
func (w words) chance(n int) bool { return w.r.IntN(100) < n }

// between is a number from low to high, both included.
func (w words) between(low, high int) int { return low + w.r.IntN(high-low+1) }

var (
	surnames    = strings.Split("王 李 张 刘 陈 杨 黄 赵 周 吴 徐 孙 马 朱 胡 郭 何 高 林 罗 郑 梁 谢 宋 唐 许 邓 冯 韩 曹 曾 彭 萧 蔡 潘 田 董 袁 于 余 叶 蒋 杜 苏 魏 程 吕 丁 沈 任 姚 卢 傅 钟 姜 崔 谭 廖 范 汪 陆 金 石 戴 贾 韦 夏 邱 方 侯 邹 熊 孟 秦 白 江 阎 薛 尹 段 雷 黎 史 龙 陶 贺 顾 毛 郝 龚 邵 万 钱 严 覃 武 戢 欧阳 冉", " ")
	givenChars  = []rune("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰春梅建国志红文辉力宁福生龙元全胜学祥才发武新利清飞彬富顺信子昌成康星光天达安岩中茂进林有坚和彪博诚先敬震振壮会思群豪心邦承乐绍功松善厚庆民友裕河哲江浩亮政谦亨奇固之轮翰朗伯宏言若鸣朋斌梁栋维启克伦翔旭鹏泽晨辰士以家致树炎德行时泰盛")
	firmStems   = strings.Split("宏远 鑫盛 江城 汉丰 金科 渝东 康达 恒信 瑞丰 大坪 云阳渡 长沙坝 浦里 九龙山 温泉 东华 天和 正安 永兴 福泰 鼎盛 华庭 锦绣 民生 安居 立信 同德 百川 盛世 嘉禾 青竹 北斗 启明 兴农 绿源 高桥 玉峰 双河 南门 铁桥", " ")
	firmKinds   = strings.Split("建筑工程有限公司 房地产开发有限公司 食品有限公司 医药连锁有限公司 化工有限公司 商贸有限公司 建材有限公司 农业开发有限公司 水务有限公司 物流有限公司 餐饮管理有限公司 机械制造有限公司 能源有限公司 环保科技有限公司", " ")
	streets     = strings.Split("开州大道 滨湖东路 中原路 安康路 凤凰路 迎仙路 月潭街 盛山路 平桥街 永先路 驷马路 富厚街 云枫路 桔乡路 帅乡路", " ")
	placeWords  = strings.Split("汉丰湖 盛山 平桥 安康 丰泰 滨湖 歇马 永先 镇安 东部新区 浦里新区 赵家 白鹤", " ")
	usccLetters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
)

// person is a name.
func (w words) person() string {
	name := pick(w, surnames) + string(pick(w, givenChars))
	if w.chance(75) {
		name += string(pick(w, givenChars))
	}
	return name
}

// firm is a company's name.
func (w words) firm() string { return "开州区" + pick(w, firmStems) + pick(w, firmKinds) }

// uscc is a unified social credit code with its check character (GB 32100).
// kind is the first two characters: 91 a company, 11 an organ of the state.
func (w words) uscc(kind string) string {
	code := kind + region
	for len(code) < 17 {
		code += string(usccLetters[w.r.IntN(10)])
	}
	return code + string(usccCheck(code))
}

func usccCheck(code string) byte {
	sum, weight := 0, 1
	for i := range 17 {
		sum += strings.IndexByte(usccLetters, code[i]) * weight
		weight = weight * 3 % 31
	}
	return usccLetters[(31-sum%31)%31]
}

// wrongUSCC is a code whose check character does not fit.
func (w words) wrongUSCC() string {
	code := w.uscc("91")
	for _, c := range []byte("0123456789") {
		if c != code[17] {
			return code[:17] + string(c)
		}
	}
	return code
}

// idNumber is a resident identity number with its check character (GB 11643).
func (w words) idNumber() string {
	born := time.Date(1955+w.r.IntN(50), time.Month(1+w.r.IntN(12)), 1+w.r.IntN(28), 0, 0, 0, 0, time.UTC)
	id := fmt.Sprintf("%s%s%03d", region, born.Format("20060102"), w.r.IntN(1000))
	sum := 0
	for i, weight := range [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(id[i]-'0') * weight
	}
	return id + string("10X98765432"[sum%11])
}

// mobile is a mobile number of a block that is not in use.
func (w words) mobile() string { return fmt.Sprintf("1990000%04d", w.r.IntN(10000)) }

func (w words) address() string {
	return fmt.Sprintf("开州区%s%d号", pick(w, streets), w.between(1, 390))
}

// moment writes a time as records hold it.
func moment(t time.Time) string { return t.Format(time.RFC3339) }

// day writes a calendar day as records hold it.
func day(t time.Time) string { return t.Format(time.DateOnly) }

// office is a moment in office hours, n working days after t.
func (w words) office(t time.Time, n int) time.Time {
	t = workdays(t, n)
	return time.Date(t.Year(), t.Month(), t.Day(), w.between(9, 16), w.r.IntN(60), w.r.IntN(60), 0, zone)
}

// workdays is n working days after t. Only weekends are days off here.
func workdays(t time.Time, n int) time.Time {
	for t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		t = t.AddDate(0, 0, 1)
	}
	for n > 0 {
		t = t.AddDate(0, 0, 1)
		if t.Weekday() != time.Saturday && t.Weekday() != time.Sunday {
			n--
		}
	}
	return t
}

// chinese writes a day of a record as clerks type it: 2026年3月5日. What is not
// a calendar day is written the same way.
func chinese(v any) string {
	s, ok := v.(string)
	if !ok || len(s) < 10 {
		return fmt.Sprint(orEmpty(v))
	}
	var y, m, d int
	if _, err := fmt.Sscanf(s[:10], "%d-%d-%d", &y, &m, &d); err != nil {
		return s
	}
	return fmt.Sprintf("%d年%d月%d日", y, m, d)
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// moments reads a day as a moment of the county.
func moments(s string) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		panic(err) // the days are written in this package
	}
	return t
}

// digest is the SHA-256 of a text in hex.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// dashed makes a resource's name part of a code.
func dashed(resource string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(resource)
}
